import {
  createIdSource,
  batchItemId,
  isOfKind,
  LipsyncError,
  requireKind,
  undecidedStart,
  type JobRecord,
  silentLogger,
} from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Batches, createClientConnection, LipsyncProducer, RedisJobStore } from '../src/index.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

let redis: TestRedis;
let connection: Redis;
let store: RedisJobStore;
let producer: LipsyncProducer;
let nowMs = 1_000_000;

const clock = { nowMs: () => nowMs };

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  store = new RedisJobStore({ connection });
  producer = new LipsyncProducer({ connection, store, clock, logger: silentLogger });
});
beforeEach(() => connection.flushdb());
afterAll(async () => {
  await producer.close();
  connection.disconnect();
  await redis.stop();
});

function createBatches(submit: LipsyncProducer['submit'] = (record) => producer.submit(record)): Batches {
  const shared = { store, clock, ids: createIdSource(clock), logger: silentLogger, verifyRedis: async () => undefined };
  return new Batches({
    ...shared,
    producer: {
      submit,
      submitOnce: (record, claim) => producer.submitOnce(record, claim),
      requeue: (record) => producer.requeue(record),
      remove: (id) => producer.remove(id),
      wake: (id) => producer.wake(id),
    },
  });
}

async function submit(batches: Batches, count: number): Promise<JobRecord<'batch'>> {
  const options = lipsyncOptionsSchema.parse({});
  const input = { kind: 'url', url: 'https://example.org/a.mp4' } as const;
  const items = Array.from({ length: count }, (_, index) => ({
    options,
    video: input,
    audio: input,
    outputName: `${index}.mp4`,
  }));
  const trace = { traceparent: null, requestId: null };
  const { record } = await batches.submit({ owner: 'one', items, options: { metadata: {} }, ...trace });
  if (!isOfKind(record, 'batch')) throw new Error('The record is not a batch.');
  return record;
}

it('A sweep queues the jobs of a batch whose process was killed between them, each one once.', async () => {
  let left = 4;
  const killed = createBatches(async (record) => {
    if (record.kind === 'lipsync' && (left -= 1) < 0) throw new LipsyncError('resource_exhausted', 'Killed.');
    await producer.submit(record);
  });
  const { id } = await submit(killed, 10);
  const queued = async () => (await store.list({ kind: 'lipsync', limit: 100 })).records.map((record) => record.id);
  expect((await queued()).length).toBeLessThan(10);
  await createBatches().sweep();
  expect((await queued()).length).toBeLessThan(10);
  nowMs += 10_000;
  await Promise.all([createBatches().sweep(), createBatches().sweep()]);
  expect((await queued()).toSorted()).toEqual(Array.from({ length: 10 }, (_, item) => batchItemId(id, item)));
  expect(await (await producer.queue('fetch')).getJobCountByTypes('prioritized')).toBe(10);
});

it('A batch ends exactly once when several processes end it at once, and no queue gets an entry for it.', async () => {
  const batches = createBatches();
  const { id } = await submit(batches, 5);
  for (let item = 0; item < 5; item += 1) await store.append(batchItemId(id, item), { type: 'canceled', atMs: 2 });
  expect((await store.listOutcomes(id)).size).toBe(5);
  nowMs += 10_000;
  await Promise.all([batches.sweep(), batches.sweep(), producer.sweep()]);
  expect(await store.get(id)).toMatchObject({
    status: 'completed',
    result: { total: 5, success: 0, failed: 0, canceled: 5, totalDurationMs: 0, totalCostMicros: 0 },
  });
  expect((await store.readOutbox(100)).filter(({ jobId }) => jobId === id)).toHaveLength(1);
  expect(await (await producer.queue('render')).getJob(id)).toBeUndefined();
});

it('Jobs that are queued after the cancel of their batch are canceled.', async () => {
  const killed = createBatches(async (record) => {
    if (record.kind === 'lipsync') throw new LipsyncError('resource_exhausted', 'Killed.');
    await producer.submit(record);
  });
  const { id } = await submit(killed, 3);
  await createBatches().cancel(id);
  nowMs += 10_000;
  await createBatches().sweep();
  expect(await store.get(id)).toMatchObject({ status: 'canceled' });
  expect((await store.list({ kind: 'lipsync', status: 'canceled', limit: 9 })).records).toHaveLength(3);
});

it('The jobs of a paused batch do not start, are left alone by the sweep, and are queued again by its resume.', async () => {
  const batches = createBatches();
  const { id } = await submit(batches, 3);
  const [started, held, canceled] = [0, 1, 2].map((item) => batchItemId(id, item)) as [string, string, string];
  await store.append(started, { type: 'run_started', atMs: nowMs });
  await store.append(canceled, { type: 'cancel_requested' });
  expect(await batches.setPaused(id, true)).toMatchObject({ spec: { isPaused: true } });
  expect(await Promise.all([started, held, canceled].map((job) => producer.isHeld(job)))).toEqual([false, true, false]);
  const queue = await producer.queue('fetch');
  for (const job of [started, held, canceled]) await queue.remove(job);
  nowMs += 10_000;
  await producer.sweep();
  expect([await queue.getJob(held), (await queue.getJob(started))?.id]).toEqual([undefined, started]);
  await batches.setPaused(id, false);
  expect([(await queue.getJob(held))?.id, await producer.isHeld(held)]).toEqual([held, false]);
  expect((await store.get(id))?.spec).not.toHaveProperty('isPaused');
});

it('A failed job of a batch that ended while it was paused is not held when it is retried.', async () => {
  const batches = createBatches();
  const { id } = await submit(batches, 1);
  const job = batchItemId(id, 0);
  await store.append(job, { type: 'run_started', atMs: nowMs });
  await batches.setPaused(id, true);
  const failure = { code: 'media_failed', message: 'No.', warnings: [] } as const;
  await store.append(job, { type: 'failed', run: 1, atMs: nowMs, ...failure });
  const batch = await batches.settle(requireKind(await getStored(id), 'batch'));
  expect(batch).toMatchObject({ status: 'completed', spec: { isPaused: true } });
  await store.append(job, { type: 'retried', atMs: nowMs, start: undecidedStart });
  expect([(await getStored(job)).status, await producer.isHeld(job)]).toEqual(['queued', false]);
});

async function getStored(id: string): Promise<JobRecord> {
  const record = await store.get(id);
  if (!record) throw new Error(`There is no job ${id}.`);
  return record;
}
