import { randomUUID } from 'node:crypto';
import { systemClock, type JobRecord } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createClientConnection, QueuedJobs } from '../src/index.ts';
import { erasingJobsKey } from '../src/job-keys.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let jobs: QueuedJobs;
let connection: ReturnType<typeof createClientConnection>;

beforeAll(async () => {
  bench = await openBench();
  connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  jobs = jobsOf(bench);
});
beforeEach(() => bench.empty());
afterAll(async () => {
  connection.disconnect();
  await bench.close();
});

function jobsOf({ store, producer }: Pick<QueueBench, 'store' | 'producer'>): QueuedJobs {
  return new QueuedJobs({
    store,
    producer,
    results: { find: async () => undefined, share: async () => undefined },
    watcher: { subscribe: async () => async () => undefined },
    keys: { read: async () => ({ type: 'free' }) },
    clock: systemClock,
    ids: { jobId: () => `job_${randomUUID()}` },
    verifyRedis: async () => undefined,
    planJob: () => ({ plan: null, needs: 'inline' }),
  });
}

async function fail(id: string): Promise<JobRecord> {
  const { runs } = await bench.store.append(id, { type: 'run_started', atMs: 2_000 });
  const event = { type: 'failed', run: runs, atMs: 3_000, code: 'media_failed', message: '', warnings: [] } as const;
  return bench.store.append(id, event);
}

it('A retried job runs again under its id, and its second end is an outbox entry of its own.', async () => {
  await bench.producer.submit(testJobRecord('job_a'));
  const ran: string[] = [];
  const worker = await bench.work(async (id) => {
    await fail(id);
    ran.push(id);
  });
  await expect.poll(() => ran).toEqual(['job_a']);
  await expect.poll(async () => (await bench.producer.queue('render')).getJobState('job_a')).toBe('completed');
  expect(await jobs.retry('job_a')).toMatchObject({ status: 'queued', error: null, retry: { count: 1 } });
  await expect.poll(() => ran).toEqual(['job_a', 'job_a']);
  await worker.close();
  expect((await bench.store.readOutbox(10)).map(({ jobId, retries }) => [jobId, retries])).toEqual([
    ['job_a', 0],
    ['job_a', 1],
  ]);
  expect(await bench.store.unfinished()).toEqual([]);
});

it('A repeated retry changes nothing, and twenty retries at once run the job once.', async () => {
  await bench.store.create(testJobRecord('job_a'));
  await fail('job_a');
  const retried = await Promise.all(Array.from({ length: 20 }, () => jobsOf(bench.another()).retry('job_a')));
  expect(new Set(retried.map(({ revision }) => revision)).size).toBe(1);
  expect(await jobs.retry('job_a')).toEqual(retried[0]);
  expect(await (await bench.producer.queue('render')).count()).toBe(1);
  expect(await bench.store.unfinished()).toEqual(['job_a']);
});

it('A retried job that no queue holds is queued by the sweep.', async () => {
  await bench.store.create(testJobRecord('job_a'));
  await fail('job_a');
  await bench.store.append('job_a', { type: 'retried', atMs: 4_000, start: { plan: null, needs: 'inline' } });
  expect(await bench.producer.sweep()).toMatchObject({ requeued: 1 });
});

it.each(['queued', 'completed', 'canceled'] as const)('A job that is %s is not retried.', async (status) => {
  await bench.store.create(testJobRecord('job_a'));
  if (status === 'canceled') await bench.store.append('job_a', { type: 'canceled', atMs: 2_000 });
  if (status === 'completed') {
    const { runs: run } = await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
    const result = { methodUsed: 'preview', degraded: true, cached: false, durationMs: 1, outputKey: 'o' } as const;
    await bench.store.append('job_a', { type: 'completed', run, atMs: 3_000, result, warnings: [] });
  }
  await expect(jobs.retry('job_a')).rejects.toMatchObject({ code: 'conflict' });
  expect(await bench.store.get('job_a')).toMatchObject({ status });
  await expect(jobs.retry('job_unknown')).rejects.toMatchObject({ code: 'not_found' });
});

it('A job whose deletion has begun is not retried, and a retried one is deleted.', async () => {
  await bench.store.create(testJobRecord('job_a'));
  await fail('job_a');
  await connection.sadd(erasingJobsKey, 'job_a');
  await expect(jobs.retry('job_a')).rejects.toMatchObject({ code: 'conflict' });
  expect(await bench.store.get('job_a')).toMatchObject({ status: 'failed' });
  await connection.srem(erasingJobsKey, 'job_a');
  await jobs.retry('job_a');
  const erasure = bench.erasure(await bench.artifacts());
  expect(await erasure.erase('job_a')).toBe('erased');
  expect([await bench.store.get('job_a'), await bench.store.unfinished()]).toEqual([undefined, []]);
});
