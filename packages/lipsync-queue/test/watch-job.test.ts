import { setTimeout as delay } from 'node:timers/promises';
import type { JobRecord } from '@lipsync/core';
import { testJobRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClientConnection, createRedisJobWatcher, watchJob, type JobWatcher } from '../src/index.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let listening: Redis;
let watcher: JobWatcher;

beforeAll(async () => {
  bench = await openBench();
  listening = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  watcher = createRedisJobWatcher({ connection: listening });
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

describe('a watched job', () => {
  it('shows its present state, then each change, and ends with the job', async () => {
    const seen = collect('job_a', { pollMs: 60_000 });
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

  it('never goes back and misses no end when changes come fast', async () => {
    const watches = Array.from({ length: 5 }, () => collect('job_a', { pollMs: 60_000 }));
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

  it('is looked at now and then, should a message be lost', async () => {
    const deaf: JobWatcher = { subscribe: async () => async () => undefined };
    const seen = collect('job_a', { pollMs: 50, watcher: deaf });
    await seen.reached(1);
    await bench.store.append('job_a', { type: 'canceled', atMs: 2 });
    await seen.done;
    expect(seen.records.at(-1)?.status).toBe('canceled');
  });

  it('is let go of when nobody looks any more', async () => {
    const controller = new AbortController();
    const seen = collect('job_a', { pollMs: 60_000, signal: controller.signal });
    await seen.reached(1);
    controller.abort();
    await seen.done;
    expect(await channels()).toEqual([]);
  });

  it('is announced again after a lost connection', async () => {
    let rings = 0;
    const unsubscribe = await watcher.subscribe('job_a', () => {
      rings += 1;
    });
    await bench.redis.kill();
    await bench.redis.restart();
    for (let waits = 0; waits < 100 && rings === 0; waits += 1) await delay(50);
    expect(rings).toBeGreaterThan(0);
    const before = rings;
    await bench.store.append('job_a', { type: 'cancel_requested' });
    for (let waits = 0; waits < 100 && rings === before; waits += 1) await delay(20);
    expect(rings).toBeGreaterThan(before);
    await unsubscribe();
    await unsubscribe();
  });
});

function collect(
  id: string,
  options: { readonly pollMs: number; readonly watcher?: JobWatcher; readonly signal?: AbortSignal },
) {
  const records: JobRecord[] = [];
  const run = async (): Promise<void> => {
    const dependencies = { store: bench.store, watcher: options.watcher ?? watcher, pollMs: options.pollMs };
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
