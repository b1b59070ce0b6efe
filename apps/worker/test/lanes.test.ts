import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock, silentLogger } from '@lipsync/core/host';
import {
  createClientConnection,
  LipsyncProducer,
  RedisClock,
  RedisJobStore,
  jobCatalog,
  queueNames,
} from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { LaneWorkers, type LaneWorkersOptions } from '../src/lane-workers.ts';
import { createScriptedRunner, type ScriptedRun, type ScriptedRunner } from './scripted-runner.ts';

let redis: TestRedis;
let connection: Redis;
let queue: Queue;
let runner: ScriptedRunner;
let producer: LipsyncProducer;
const running: LaneWorkers[] = [];

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  producer = new LipsyncProducer({
    connection,
    store: new RedisJobStore({ connection }),
    clock: systemClock,
    logger: silentLogger,
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

function servingRedis() {
  return { report: () => true, serves: true, verify: async () => undefined, clock: new RedisClock(systemClock) };
}

async function serve(
  scripted: ScriptedRunner = runner,
  shutdownGraceMs = 0,
  state: LaneWorkersOptions['redis'] = servingRedis(),
): Promise<LaneWorkers> {
  const worker = new LaneWorkers({
    config: {
      redisUrl: redis.url,
      lanes: [{ lane: 'render', concurrency: 1 }],
      shutdownGraceMs,
      lockMs: 600,
      stalledIntervalMs: 200,
    },
    runner: scripted,
    producer,
    redis: state,
    logger: silentLogger,
  });
  await worker.start();
  running.push(worker);
  return worker;
}

async function enqueue(jobId: string, data: unknown = { jobId }): Promise<void> {
  await queue.add('lipsync', data, { ...jobCatalog.lipsync.options, jobId });
}

async function nthRun(scripted: ScriptedRunner, count: number): Promise<ScriptedRun> {
  await expect.poll(() => scripted.runs.length, { timeout: 8_000, interval: 20 }).toBeGreaterThanOrEqual(count);
  const run = scripted.runs[count - 1];
  if (!run) throw new Error('no such run');
  return run;
}

/** Commands and scripts that Redis answered with an error since the last reset of its statistics. */
async function rejectedCommands(): Promise<number> {
  const [, count] = /^total_error_replies:(\d+)/m.exec(await connection.info('stats')) ?? [];
  return Number(count);
}

function stateOf(jobId: string): Promise<unknown> {
  return queue.getJobState(jobId);
}

describe('a queue entry', () => {
  it('A worker runs the job of a queue entry, and the entry completes when the job completes.', async () => {
    await serve();
    await enqueue('job_a');
    const run = await nthRun(runner, 1);
    expect(run.jobId).toBe('job_a');
    expect(await stateOf('job_a')).toBe('active');
    run.complete();
    await expect.poll(() => stateOf('job_a')).toBe('completed');
  });

  it('The entry of a failed job fails with the error code of the job and is not retried.', async () => {
    await serve();
    await enqueue('job_b');
    (await nthRun(runner, 1)).fail('clip_unusable', 'No face.');
    await expect.poll(() => stateOf('job_b')).toBe('failed');
    expect((await queue.getJob('job_b'))?.failedReason).toBe('clip_unusable: No face.');
    expect(runner.runs).toHaveLength(1);
  });

  it('The entry of a canceled job fails with the reason "canceled".', async () => {
    await serve();
    await enqueue('job_c');
    (await nthRun(runner, 1)).cancel();
    await expect.poll(async () => (await queue.getJob('job_c'))?.failedReason).toBe('canceled');
  });

  it('An entry is retried when the runner throws, for example because the store is unavailable.', async () => {
    await serve();
    await enqueue('job_d');
    (await nthRun(runner, 1)).throw(new Error('store unavailable'));
    (await nthRun(runner, 2)).complete();
    await expect.poll(() => stateOf('job_d')).toBe('completed');
  });

  it('An entry without a job id fails at once and nothing runs.', async () => {
    await serve();
    await enqueue('job_e', { path: '/etc/passwd' });
    await expect.poll(() => stateOf('job_e')).toBe('failed');
    expect(runner.runs).toHaveLength(0);
  });

  it('A job that runs longer than a lock lasts keeps its lock.', async () => {
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

describe('a lost lock', () => {
  it('A worker that loses the lock of a job aborts its run, and the job runs again.', async () => {
    await serve();
    await enqueue('job_g');
    const first = await nthRun(runner, 1);
    await connection.del(`bull:${queueNames.render}:job_g:lock`);
    await expect.poll(() => first.signal.aborted).toBe(true);
    (await nthRun(runner, 2)).complete();
    await expect.poll(() => stateOf('job_g')).toBe('completed');
  });
});

describe('shutdown', () => {
  it('A stopping worker takes no new jobs and finishes the running one.', async () => {
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

  it('A stopping worker hands its job back after the grace period, and another worker resumes it at once.', async () => {
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

describe('a Redis outage', () => {
  it('A worker takes jobs again when Redis is back.', async () => {
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

  it('A worker whose claims Redis refuses claims about once per second, not thousands of times.', async () => {
    await enqueue('job_l');
    await enqueue('job_m');
    await connection.config('SET', 'maxmemory', '1');
    onTestFinished(async () => void (await connection.config('SET', 'maxmemory', '0')));
    await connection.config('RESETSTAT');
    await serve();
    await delay(3_000);
    expect(await rejectedCommands()).toBeGreaterThan(0);
    expect(await rejectedCommands()).toBeLessThan(30);
    await connection.config('SET', 'maxmemory', '0');
    (await nthRun(runner, 1)).complete();
    (await nthRun(runner, 2)).complete();
    await expect.poll(() => stateOf('job_m')).toBe('completed');
  });

  it('A stopping worker without Redis aborts its jobs at once instead of waiting for the grace period.', async () => {
    const state = servingRedis();
    const worker = await serve(runner, 60_000, state);
    await enqueue('job_n');
    const run = await nthRun(runner, 1);
    await redis.kill();
    onTestFinished(() => redis.restart());
    const startedMs = performance.now();
    const stopped = worker.stop();
    await delay(500);
    expect(run.signal.aborted).toBe(false);
    state.serves = false;
    await stopped;
    expect(run.signal.aborted).toBe(true);
    expect(performance.now() - startedMs).toBeLessThan(6_000);
  });
});
