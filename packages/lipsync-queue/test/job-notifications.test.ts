import { setTimeout as delay } from 'node:timers/promises';
import type { JobRecord } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClientConnection, RedisJobNotifications, watchJob, type JobWatcher } from '../src/index.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let listening: Redis;
let watcher: RedisJobNotifications;

beforeAll(async () => {
  bench = await openBench();
  listening = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  watcher = new RedisJobNotifications({ connection: listening });
});
afterAll(async () => {
  listening.disconnect();
  await bench.close();
});
beforeEach(async () => {
  await bench.empty();
  await bench.store.create(testJobRecord('job_a'));
});

const channels = async (): Promise<unknown> => {
  const connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  const found = await connection.pubsub('CHANNELS');
  connection.disconnect();
  return found;
};

describe('watchJob', () => {
  it('A watch yields the current record, then each change, and ends with the job.', async () => {
    const seen = collect('job_a', { pollIntervalMs: 60_000 });
    for (const [index, event] of (
      [
        { type: 'run_started', atMs: 1 },
        { type: 'progressed', run: 1, stage: 'render', progress: 40, message: '' },
        { type: 'canceled', atMs: 2 },
      ] as const
    ).entries()) {
      await seen.reached(index + 1);
      await bench.store.append('job_a', event);
    }
    await seen.done;
    expect(seen.records.map(({ status, progress }) => [status, progress])).toEqual([
      ['queued', 0],
      ['processing', 0],
      ['processing', 40],
      ['canceled', 40],
    ]);
    expect(await channels()).toEqual([]);
  });

  it('Revisions only increase and the last record is terminal, however fast changes arrive.', async () => {
    const watches = Array.from({ length: 5 }, () => collect('job_a', { pollIntervalMs: 60_000 }));
    await bench.store.append('job_a', { type: 'run_started', atMs: 1 });
    await Promise.all(
      Array.from({ length: 40 }, (_, progress) =>
        bench.store.append('job_a', { type: 'progressed', run: 1, stage: 'render', progress, message: `${progress}` }),
      ),
    );
    await bench.store.append('job_a', { type: 'canceled', atMs: 2 });
    for (const { done, records } of watches) {
      await done;
      const revisions = records.map(({ revision }) => revision);
      expect(revisions).toEqual([...new Set(revisions)].toSorted((one, other) => one - other));
      expect(records.at(-1)?.status).toBe('canceled');
    }
  });

  it('A watch polls the record, so that a lost message does not stop it.', async () => {
    const silentWatcher: JobWatcher = { subscribe: async () => async () => undefined };
    const seen = collect('job_a', { pollIntervalMs: 50, watcher: silentWatcher });
    await seen.reached(1);
    await bench.store.append('job_a', { type: 'canceled', atMs: 2 });
    await seen.done;
    expect(seen.records.at(-1)?.status).toBe('canceled');
  });

  it('An aborted watch ends its subscription.', async () => {
    const controller = new AbortController();
    const seen = collect('job_a', { pollIntervalMs: 60_000, signal: controller.signal });
    await seen.reached(1);
    controller.abort();
    await seen.done;
    expect(await channels()).toEqual([]);
  });

  it('A listener is called after a reconnect, and for changes after it.', async () => {
    let calls = 0;
    const unsubscribe = await watcher.subscribe('job_a', () => {
      calls += 1;
    });
    await bench.redis.kill();
    await bench.redis.restart();
    for (let waits = 0; waits < 100 && calls === 0; waits += 1) await delay(50);
    expect(calls).toBeGreaterThan(0);
    const before = calls;
    await bench.store.append('job_a', { type: 'cancel_requested' });
    for (let waits = 0; waits < 100 && calls === before; waits += 1) await delay(20);
    expect(calls).toBeGreaterThan(before);
    await unsubscribe();
    await unsubscribe();
  });
});

describe('watchInterrupts', () => {
  /** Counts the calls for `job_a`. */
  function countInterrupts(): { calls: number; stop(): void } {
    const counter = { calls: 0, stop: () => undefined as void };
    counter.stop = watcher.watchInterrupts('job_a', () => {
      counter.calls += 1;
    });
    return counter;
  }

  it('A cancel request and a new run interrupt the watched job, and progress does not.', async () => {
    const counter = countInterrupts();
    await expect.poll(channels).toEqual(['lipsync:job-interrupts']);
    await bench.store.create(testJobRecord('job_b'));
    await bench.store.append('job_b', { type: 'cancel_requested' });
    await bench.store.append('job_a', { type: 'run_started', atMs: 1 });
    await expect.poll(() => counter.calls).toBe(1);
    await bench.store.append('job_a', { type: 'progressed', run: 1, stage: 'render', progress: 40, message: '' });
    await bench.store.append('job_a', { type: 'cancel_requested' });
    await expect.poll(() => counter.calls).toBe(2);
    counter.stop();
    counter.stop();
    await bench.store.append('job_a', { type: 'run_started', atMs: 2 });
    await delay(50);
    expect(counter.calls).toBe(2);
  });

  it('After an outage of Redis the watched job is interrupted once, because messages may have been lost.', async () => {
    const counter = countInterrupts();
    await bench.redis.kill();
    await bench.redis.restart();
    await expect.poll(() => counter.calls).toBeGreaterThan(0);
    const before = counter.calls;
    await bench.store.append('job_a', { type: 'cancel_requested' });
    await expect.poll(() => counter.calls).toBeGreaterThan(before);
    counter.stop();
  });
});

function collect(
  id: string,
  options: { readonly pollIntervalMs: number; readonly watcher?: JobWatcher; readonly signal?: AbortSignal },
) {
  const records: JobRecord[] = [];
  const run = async (): Promise<void> => {
    const dependencies = {
      store: bench.store,
      watcher: options.watcher ?? watcher,
      pollIntervalMs: options.pollIntervalMs,
    };
    for await (const record of watchJob(dependencies, id, options.signal ?? new AbortController().signal))
      records.push(record);
  };
  return {
    records,
    done: run(),
    async reached(count: number): Promise<void> {
      for (let waits = 0; waits < 250 && records.length < count; waits += 1) await delay(10);
      expect(records.length).toBeGreaterThanOrEqual(count);
    },
  };
}

it('The watch of a job that is deleted ends although no change to an ended state was read.', async () => {
  const records: (JobRecord | undefined)[] = [testJobRecord('job_deleted'), testJobRecord('job_deleted')];
  const signal = AbortSignal.timeout(2_000);
  const dependencies = {
    store: { get: async () => records.shift() },
    watcher: { subscribe: async () => async () => undefined },
    pollIntervalMs: 5,
  };
  let count = 0;
  for await (const _ of watchJob(dependencies, 'job_deleted', signal)) count += 1;
  expect([count, signal.aborted]).toEqual([1, false]);
});
