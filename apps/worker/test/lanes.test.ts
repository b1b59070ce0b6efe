import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock, type Logger } from '@lipsync/core';
import {
  createClientConnection,
  createProducer,
  createRedisJobStore,
  jobCatalogue,
  queueNames,
  type LipsyncProducer,
} from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { serveLanes, type RunningWorker } from '../src/wiring.ts';
import { createScriptedRunner, type ScriptedRun, type ScriptedRunner } from './scripted-runner.ts';

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let redis: TestRedis;
let connection: Redis;
let queue: Queue;
let runner: ScriptedRunner;
let producer: LipsyncProducer;
const running: RunningWorker[] = [];

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  producer = createProducer({
    connection,
    store: createRedisJobStore({ connection }),
    clock: systemClock,
    logger: quiet,
  });
  queue = new Queue(queueNames.render, { connection });
  queue.on('error', () => undefined);
  return async () => {
    await queue.close();
    await producer.close();
    connection.disconnect();
    await redis.stop();
  };
});
beforeEach(async () => {
  runner = createScriptedRunner();
  await queue.obliterate({ force: true });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((worker) => worker.stop()));
});

async function serve(scripted: ScriptedRunner = runner, shutdownGraceMs = 0): Promise<RunningWorker> {
  const worker = await serveLanes(
    {
      redisUrl: redis.url,
      lanes: [{ lane: 'render', concurrency: 1 }],
      shutdownGraceMs,
      lockMs: 600,
      stalledIntervalMs: 200,
    },
    { runner: scripted, producer },
    quiet,
  );
  running.push(worker);
  return worker;
}

async function enqueue(jobId: string, data: unknown = { jobId }): Promise<void> {
  await queue.add('lipsync', data, { ...jobCatalogue.lipsync.options, jobId });
}

async function nthRun(scripted: ScriptedRunner, count: number): Promise<ScriptedRun> {
  await expect.poll(() => scripted.runs.length, { timeout: 8_000, interval: 20 }).toBeGreaterThanOrEqual(count);
  const run = scripted.runs[count - 1];
  if (!run) throw new Error('no such run');
  return run;
}

function stateOf(jobId: string): Promise<unknown> {
  return queue.getJobState(jobId);
}

describe('a queued job', () => {
  it('is run by its id, and shown as completed when it completed', async () => {
    await serve();
    await enqueue('job_a');
    const run = await nthRun(runner, 1);
    expect(run.jobId).toBe('job_a');
    expect(await stateOf('job_a')).toBe('active');
    run.complete();
    await expect.poll(() => stateOf('job_a')).toBe('completed');
  });

  it('is shown as failed with its code when it failed, and is not run again', async () => {
    await serve();
    await enqueue('job_b');
    (await nthRun(runner, 1)).fail('clip_unusable', 'No face.');
    await expect.poll(() => stateOf('job_b')).toBe('failed');
    expect((await queue.getJob('job_b'))?.failedReason).toBe('clip_unusable: No face.');
    expect(runner.runs).toHaveLength(1);
  });

  it('is shown as failed for "canceled" when it was canceled', async () => {
    await serve();
    await enqueue('job_c');
    (await nthRun(runner, 1)).cancel();
    await expect.poll(async () => (await queue.getJob('job_c'))?.failedReason).toBe('canceled');
  });

  it('is run again after a fault that is not the job’s', async () => {
    await serve();
    await enqueue('job_d');
    (await nthRun(runner, 1)).throw(new Error('store out of reach'));
    (await nthRun(runner, 2)).complete();
    await expect.poll(() => stateOf('job_d')).toBe('completed');
  });

  it('that does not name a job fails at once, without being run', async () => {
    await serve();
    await enqueue('job_e', { path: '/etc/passwd' });
    await expect.poll(() => stateOf('job_e')).toBe('failed');
    expect(runner.runs).toHaveLength(0);
  });

  it('keeps its lock for much longer than a lock lasts', async () => {
    await serve();
    await enqueue('job_f');
    const run = await nthRun(runner, 1);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(run.signal.aborted).toBe(false);
    expect(runner.runs).toHaveLength(1);
    run.complete();
    await expect.poll(() => stateOf('job_f')).toBe('completed');
  });
});

describe('a worker that loses the lock of a job', () => {
  it('lets go of it, and the job is run again', async () => {
    await serve();
    await enqueue('job_g');
    const first = await nthRun(runner, 1);
    await connection.del(`bull:${queueNames.render}:job_g:lock`);
    await expect.poll(() => first.signal.aborted).toBe(true);
    (await nthRun(runner, 2)).complete();
    await expect.poll(() => stateOf('job_g')).toBe('completed');
  });
});

describe('a worker that is told to stop', () => {
  it('takes no more jobs and lets the running one finish', async () => {
    const worker = await serve(runner, 5_000);
    await enqueue('job_h');
    const run = await nthRun(runner, 1);
    const stopped = worker.stop();
    await enqueue('job_i');
    run.complete();
    await stopped;
    expect(await stateOf('job_h')).toBe('completed');
    expect(await stateOf('job_i')).toBe('waiting');
    expect(runner.runs).toHaveLength(1);
  });

  it('hands a job back after the grace period, and another worker goes on with it at once', async () => {
    const worker = await serve(runner, 100);
    await enqueue('job_j');
    const run = await nthRun(runner, 1);
    await worker.stop();
    expect(run.signal.aborted).toBe(true);
    expect(await stateOf('job_j')).toBe('waiting');
    const other = createScriptedRunner();
    await serve(other);
    (await nthRun(other, 1)).complete();
    await expect.poll(() => stateOf('job_j')).toBe('completed');
  });
});

describe('a worker whose Redis goes away', () => {
  it('takes jobs again when it is back', async () => {
    await serve();
    await redis.kill();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await redis.restart();
    await expect
      .poll(async () =>
        enqueue('job_k').then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    (await nthRun(runner, 1)).complete();
    await expect.poll(() => stateOf('job_k')).toBe('completed');
  });
});
