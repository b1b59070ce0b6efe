import { LedgerPseudonyms, systemClock, type JobRecord } from '@lipsync/core/host';
import { testJobRecord, testQualityRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import {
  createClientConnection,
  rewriteErasedData,
  privateRedisKey,
  UserErasure,
  type JobErasure,
} from '../src/index.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let connection: Redis;
let jobs: JobErasure;
let users: UserErasure;
const ann = { userId: 'ann', owner: 'alice', isUserWithoutKey: false };

beforeAll(async () => {
  bench = await openBench();
  connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  jobs = bench.erasure(await bench.artifacts());
  users = usersWith(jobs);
});
beforeEach(() => bench.empty());
afterAll(async () => {
  connection.disconnect();
  await bench.close();
});

function usersWith(erasure: Pick<JobErasure, 'erase'>): UserErasure {
  const { store, state } = bench;
  return new UserErasure({
    connection,
    store,
    jobs: erasure,
    ledger: new LedgerPseudonyms({ state }),
    clock: systemClock,
  });
}

const noLimit = (): AbortSignal => new AbortController().signal;

async function createJobs(): Promise<void> {
  const job = (id: string, userId: string): JobRecord => testJobRecord(id, 1_000, { userId });
  const quality = testQualityRecord('job_q');
  const options = { ...quality.spec.options, userId: 'ann' };
  await bench.store.create({ ...job('job_a', 'ann'), owner: 'alice' });
  await bench.store.create({ ...job('job_b', 'bea'), owner: 'alice' });
  await bench.store.create({ ...job('job_c', 'ann'), owner: 'bob' });
  await bench.store.create({ ...quality, owner: 'alice', spec: { ...quality.spec, options } });
}

const left = async (): Promise<readonly string[]> => (await bench.store.unfinished()).toSorted();

it('All jobs of a user within a key are erased, of every kind, and no other job.', async () => {
  await createJobs();
  expect(await users.erase(ann, noLimit())).toBe('erased');
  expect(await left()).toEqual(['job_b', 'job_c']);
  expect((await connection.keys('*')).filter((key) => key.includes('erasing'))).toEqual([]);
  expect(await users.erase(ann, noLimit())).toBe('erased');
});

it('Jobs of a user are erased although one of them cannot be.', async () => {
  await createJobs();
  const refusing = usersWith({
    erase: (id) => (id === 'job_a' ? Promise.reject(new Error('refused')) : jobs.erase(id)),
  });
  const everyKey = { userId: 'ann', isUserWithoutKey: false };
  await expect(refusing.erase(everyKey, noLimit())).rejects.toThrow('refused');
  expect(await left()).toEqual(['job_a', 'job_b']);
  expect(await users.resumeAll(noLimit())).toBe(1);
});

it('Without a key in the scope, the jobs of all keys are erased.', async () => {
  await createJobs();
  expect(await users.erase({ userId: 'ann', isUserWithoutKey: false }, noLimit())).toBe('erased');
  expect(await left()).toEqual(['job_b']);
});

it('An erasure that was killed is finished later, and jobs created after the request stay.', async () => {
  await createJobs();
  const killed = usersWith({ erase: () => Promise.reject(new Error('killed')) });
  await expect(killed.erase(ann, noLimit())).rejects.toThrow('killed');
  await bench.store.create({ ...testJobRecord('job_new', Date.now() + 5_000, { userId: 'ann' }), owner: 'alice' });
  expect(await users.resumeAll(noLimit())).toBe(1);
  expect(await left()).toEqual(['job_b', 'job_c', 'job_new']);
  expect(await users.resumeAll(noLimit())).toBe(0);
});

it('An erasure waits for a running job, and continues after its time limit.', async () => {
  await createJobs();
  await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
  expect(await users.erase(ann, noLimit())).toBe('pending');
  expect(await left()).toEqual(['job_a', 'job_b', 'job_c']);
  await bench.store.append('job_a', { type: 'canceled', atMs: 3_000 });
  expect(await users.resumeAll(AbortSignal.abort())).toBe(0);
  expect(await users.resumeAll(noLimit())).toBe(1);
  expect(await left()).toEqual(['job_b', 'job_c']);
});

it('The append-only file of a private Redis is rewritten once after erasures, and that of another Redis is not.', async () => {
  await createJobs();
  await users.erase(ann, noLimit());
  expect(await rewriteErasedData(connection)).toBe(false);
  await connection.set(privateRedisKey, '1');
  expect([await rewriteErasedData(connection), await rewriteErasedData(connection)]).toEqual([true, false]);
  await jobs.erase('job_b');
  expect(await rewriteErasedData(connection)).toBe(false);
  await connection.del('lipsync:rewrite-pause');
  await vi.waitFor(
    async () => expect(await connection.info('persistence')).toMatch(/aof_rewrite_in_progress:0/),
    5_000,
  );
  expect(await rewriteErasedData(connection)).toBe(true);
});
