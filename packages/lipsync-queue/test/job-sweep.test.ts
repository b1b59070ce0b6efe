import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { silentLogger, systemClock } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { createClientConnection, RedisJobStore } from '../src/index.ts';
import { indexMember, sweepLockKey, sweepPositionKey, unfinishedJobsKey } from '../src/job-keys.ts';
import { sweepJobs, type SweepLimits, type SweptJobs } from '../src/job-sweep.ts';
import { QueueEntries } from '../src/queue-entries.ts';
import { openBench, type QueueBench } from './support.ts';

const child = fileURLToPath(new URL('./job-sweep-child.ts', import.meta.url));
let bench: QueueBench;
let connection: Redis;
let entries: QueueEntries;

beforeAll(async () => {
  bench = await openBench();
  connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  entries = new QueueEntries({ connection, logger: silentLogger });
});
beforeEach(() => bench.empty());
afterAll(async () => {
  await entries.close();
  connection.disconnect();
  await bench.close();
});

/** Sweeps as the next process would when the lock of the last one has expired. */
async function sweepNext(limits?: SweepLimits): Promise<SweptJobs> {
  await connection.del(sweepLockKey);
  const store = new RedisJobStore({ connection });
  return sweepJobs({ connection, store, entries, clock: systemClock, requeueAfterMs: 0, ...(limits && { limits }) });
}

async function killChild(step: 'submit' | 'sweep'): Promise<void> {
  const [, signal] = await once(spawn(process.execPath, [child, bench.redis.url, step], { stdio: 'inherit' }), 'exit');
  expect(signal).toBe('SIGKILL');
}

/** Index members and queue entries of jobs, without records, which a sweep does not read. */
async function queueJobs(count: number): Promise<void> {
  const ids = Array.from({ length: count }, (_, index) => `job_${String(index).padStart(5, '0')}`);
  const members = ids.flatMap((id) => ['0', indexMember({ createdAtMs: 1_000, id })]);
  await connection.zadd(unfinishedJobsKey, ...members);
  const queue = await entries.queue('render');
  await connection.zadd(queue.toKey('prioritized'), ...ids.flatMap((id, index) => [String(index), id]));
}

it('Sweeps of 10,000 queued jobs find every missing job within the bound, with replies of one page.', async () => {
  await queueJobs(10_000);
  const lost = ['job_00000_lost', 'job_05000_lost', 'job_09999_lost'];
  for (const id of lost) await bench.store.create(testJobRecord(id, 1_000));
  const limits = { pageSize: 250, maxCompared: 3_000, maxChecked: 100 };
  const spies = [vi.spyOn(connection, 'zrange'), vi.spyOn(connection, 'zmscore')];
  const sweeps = Math.ceil(10_003 / limits.maxCompared) + 1;
  const requeued: number[] = [];
  // The first sweep has passed the beginning when the job there is lost.
  for (let sweep = 0; sweep < sweeps; sweep += 1) {
    requeued.push((await sweepNext(limits)).requeued);
    if (sweep === 0) await entries.remove('job_00000_lost');
  }
  expect(requeued).toEqual([1, 1, 0, 1, 1]);
  const replies = spies.flatMap((spy) => spy.mock.settledResults.map(({ value }) => value as unknown[]));
  expect(replies.length).toBeGreaterThan(80);
  expect(Math.max(...replies.map((reply) => reply.length))).toBe(limits.pageSize);
  for (const id of lost) expect(await (await entries.queue('render')).getJobState(id)).toBe('prioritized');
});

it('A sweep ends after the page with its limit of missing jobs, and the next one continues there.', async () => {
  for (const id of ['job_a', 'job_b', 'job_c', 'job_d', 'job_e']) await bench.store.create(testJobRecord(id));
  const limits = { pageSize: 2, maxCompared: 100, maxChecked: 2 };
  const requeued = [await sweepNext(limits), await sweepNext(limits), await sweepNext(limits)];
  expect(requeued.map((swept) => swept.requeued)).toEqual([2, 2, 1]);
  expect(await connection.exists(sweepPositionKey)).toBe(0);
});

it('A job whose process is killed between its record and its queue entry is queued by the next sweep.', async () => {
  await killChild('submit');
  expect((await bench.store.get('job_killed'))?.status).toBe('queued');
  const queue = await entries.queue('render');
  expect(await queue.getJobState('job_killed')).toBe('unknown');
  expect(await sweepNext()).toEqual({ requeued: 1, expired: 0 });
  expect(await queue.getJobState('job_killed')).toBe('prioritized');
}, 60_000);

it('A sweep continues after the last complete page of a sweep whose process was killed.', async () => {
  const ids = ['job_a', 'job_b', 'job_c', 'job_d', 'job_e'];
  for (const id of ids) await bench.store.create(testJobRecord(id));
  await killChild('sweep');
  const queue = await entries.queue('render');
  expect(await Promise.all(ids.map((id) => queue.getJobState(id)))).toEqual([
    'prioritized',
    'prioritized',
    'unknown',
    'unknown',
    'unknown',
  ]);
  expect(await sweepNext()).toEqual({ requeued: 3, expired: 0 });
}, 60_000);
