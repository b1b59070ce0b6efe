import { newJobRecord, SegmentBoard, silentLogger, systemClock, type SegmentHelper } from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { createClientConnection, LipsyncProducer, RedisClock, RedisJobStore, RedisStateStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import type { Redis } from 'ioredis';
import { beforeAll, expect, it } from 'vitest';
import { LaneWorkers } from '../src/lane-workers.ts';
import { createSegmentProcessor } from '../src/segment-processor.ts';

const jobId = 'job_long';
let redis: TestRedis;
let connection: Redis;
let producer: LipsyncProducer;

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  const store = new RedisJobStore({ connection });
  producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  await store.create(recordOf(jobId));
  return async () => {
    await producer.close();
    connection.disconnect();
    await redis.stop();
  };
});

function recordOf(id: string, priority = 5) {
  const input = (digit: string) => ({ kind: 'artifact', key: `inputs/${digit.repeat(64)}`, name: 'input' }) as const;
  return newJobRecord({
    id,
    nowMs: Date.now(),
    owner: null,
    requestId: 'req_1',
    traceparent: null,
    options: lipsyncOptionsSchema.parse({ priority }),
    video: input('a'),
    audio: input('b'),
  });
}

function listOf(id: string): Parameters<SegmentBoard['create']>[0] {
  const free = { warmUpFrames: 0, lease: null, finished: null };
  return {
    jobId: id,
    binding: 'binding',
    engineVersion: 'engine',
    provider: 'wav2lip',
    // `as`: only workers read it.
    request: { clipDigest: 'a' } as unknown as Parameters<SegmentBoard['create']>[0]['request'],
    traceparent: null,
    segments: [
      { ...free, start: 0, end: 20 },
      { ...free, start: 20, end: 90 },
    ],
  };
}

it('An idle worker takes an offer, which is put back while the worker is needed elsewhere, and is no waiting job.', async () => {
  const helped: string[] = [];
  const segmentHelper: Pick<SegmentHelper, 'help'> = {
    async help(id, { isNeededElsewhere }) {
      helped.push(`${id} ${String(await isNeededElsewhere())}`);
      return helped.length === 1 ? 'interrupted' : 'done';
    },
  };
  // Repeated offers are one.
  await producer.offerSegments(jobId, 1);
  await producer.offerSegments(jobId, 1);
  expect(await producer.sampleWaiting('render', 10)).toEqual({ count: 0, ids: [], firstIds: [] });
  const worker = new LaneWorkers({
    config: {
      redisUrl: redis.url,
      lanes: [{ lane: 'render', concurrency: 1 }],
      shutdownGraceMs: 0,
      lockMs: 5_000,
      stalledIntervalMs: 1_000,
    },
    runner: { run: () => Promise.reject(new Error('No job is queued.')) },
    segmentHelper,
    producer,
    redis: { report: () => true, serves: true, verify: async () => undefined, clock: new RedisClock(systemClock) },
    logger: silentLogger,
  });
  await worker.start();
  try {
    await expect.poll(() => helped.length, { timeout: 10_000 }).toBe(2);
    expect(helped).toEqual([`${jobId} false`, `${jobId} false`]);
    await expect.poll(async () => (await producer.queue('render')).getJobCountByTypes()).toBe(0);
  } finally {
    await worker.stop();
  }
});

it('A worker leaves the segments of a job for a job of the same priority, and not for one of a lower priority.', async () => {
  await producer.offerSegments(jobId, 2);
  const queue = await producer.queue('render');
  const offer = await queue.getJob(`segments-${jobId}-1`);
  if (!offer) throw new Error('The offer does not wait.');
  const answers: boolean[] = [];
  const helper: Pick<SegmentHelper, 'help'> = {
    async help(_, { isNeededElsewhere }) {
      answers.push(await isNeededElsewhere());
      for (const priority of [6, 5]) {
        await producer.submit(recordOf(`job_priority_${priority}`, priority), 'render');
        answers.push(await isNeededElsewhere());
      }
      return 'done';
    },
  };
  const stopping = new AbortController().signal;
  const help = createSegmentProcessor({ helper, producer, verifyRedis: async () => undefined, stopping });
  await help(offer, '', stopping);
  expect(answers).toEqual([false, false, true]);
  await queue.obliterate({ force: true });
});

it('A segment has one holder at a time in Redis, and the end of the job deletes all of its files.', async () => {
  const deleted: string[] = [];
  const artifacts = { delete: async (key: string) => void deleted.push(key) };
  const board = new SegmentBoard({ state: new RedisStateStore({ connection }), clock: systemClock, artifacts });
  const list = await board.create(listOf(jobId));
  const leases = await Promise.all([
    board.lease(list, 'owner'),
    board.lease(list, 'helper'),
    board.lease(list, 'helper'),
  ]);
  expect(new Set(leases.map((leased) => leased?.index))).toEqual(new Set([0, 1, undefined]));
  const [held] = leases.filter((leased) => leased?.index === 1);
  if (!held) throw new Error('The longer segment has no holder.');
  expect((await board.finish(held, { workMs: 5, warnings: [] }))?.segments[1]?.finished?.key).toBe(held.key);
  await board.remove(jobId);
  expect(deleted).toEqual(expect.arrayContaining(leases.flatMap((leased) => leased?.key ?? [])));
  expect(await board.renew(held, 1)).toBeUndefined();
  expect(await board.read(jobId)).toBeUndefined();
});

it('No other worker begins a segment between a failed attempt and the next one.', async () => {
  const artifacts = { delete: async () => undefined };
  const board = new SegmentBoard({ state: new RedisStateStore({ connection }), clock: systemClock, artifacts });
  const list = await board.create(listOf('job_paused'));
  const finishing = await board.lease(list, 'helper');
  await board.pause(list, new Set());
  expect(await board.lease(list, 'helper')).toBeUndefined();
  // A segment that was begun is not lost.
  expect(finishing && (await board.finish(finishing, { workMs: 5, warnings: [] }))).toBeDefined();
  const own = await board.lease(list, 'owner');
  if (!own) throw new Error('The next attempt found no segment.');
  await board.release(own);
  expect(await board.lease(list, 'helper')).toMatchObject({ index: own.index });
  await board.remove('job_paused');
});
