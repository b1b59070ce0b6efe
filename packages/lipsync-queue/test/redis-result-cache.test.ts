import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FingerprintStore, newBatchRecord, type ArtifactStore, type JobRecord } from '@lipsync/core/host';
import { lipsyncJob, testJobRecord } from '@lipsync/core/testing';
import type { LipsyncOptionsInput } from '@lipsync/core/contract';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClientConnection, outputKeyOf, RedisResultCache, type JobErasure } from '../src/index.ts';
import { erasingInputPrefix, erasingJobsKey } from '../src/job-keys.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let connection: Redis;
let artifacts: ArtifactStore;
let folder: string;
let erasure: JobErasure;
let cache: RedisResultCache;

beforeAll(async () => {
  bench = await openBench();
  artifacts = await bench.artifacts();
  folder = await mkdtemp(join(tmpdir(), 'result-cache-'));
  connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  erasure = bench.erasure(artifacts);
});
beforeEach(async () => {
  await bench.empty();
  cache = new RedisResultCache({ connection, store: bench.store, artifacts });
  await cache.setEngineVersion('v1');
});
afterAll(async () => {
  connection.disconnect();
  await rm(folder, { recursive: true, force: true });
  await bench.close();
});

/** Stores a job that a worker with this engine has completed. */
async function complete(id: string, options: LipsyncOptionsInput = {}, engineVersion = 'v1'): Promise<JobRecord> {
  await bench.store.create(testJobRecord(id, 1_000, options));
  const takePath = join(folder, 'take.mp4');
  await writeFile(takePath, id);
  const { key: outputKey } = await artifacts.publish(takePath, outputKeyOf(id));
  const result = { methodUsed: 'preview', degraded: true, cached: false, durationMs: 1, outputKey } as const;
  return bench.store.append(id, { type: 'completed', run: 0, atMs: 2_000, result, warnings: [], engineVersion });
}

/** Completes a new job as a worker does that has found an equal result; undefined without one. */
async function reuse(id: string, options: LipsyncOptionsInput = {}): Promise<JobRecord<'lipsync'> | undefined> {
  const record = await start(id, options);
  const claim = await cache.claim(record);
  if (claim.type !== 'reused') return undefined;
  const { result, warnings } = claim;
  return lipsyncJob(await bench.store.append(id, { type: 'completed', run: 1, atMs: 4_000, result, warnings }));
}

/** Stores a job that a worker has begun. */
async function start(id: string, options: LipsyncOptionsInput = {}): Promise<JobRecord<'lipsync'>> {
  await bench.store.create(testJobRecord(id, 3_000, options));
  return lipsyncJob(await bench.store.append(id, { type: 'run_started', atMs: 3_000 }));
}

/** Stores a batch with a job that a worker has begun. */
async function startItem(): Promise<JobRecord<'lipsync'>> {
  const job = testJobRecord('batch_a-0001', 3_000);
  const { owner, spec } = job;
  const item = { ...spec, outputName: 'a.mp4' };
  const trace = { traceparent: null, requestId: null };
  const id = 'batch_a';
  await bench.store.create(
    newBatchRecord({ ...trace, id, owner, nowMs: 3_000, options: { metadata: {} }, items: [item] }),
  );
  await bench.store.create({ ...job, batch: { id, item: 0, outputName: 'a.mp4' } });
  return lipsyncJob(await bench.store.append(job.id, { type: 'run_started', atMs: 3_000 }));
}

const output = async (id: string) => (await artifacts.stat(outputKeyOf(id))) !== undefined;

describe('RedisResultCache', () => {
  it('An equal job gets the result of an earlier one, with its output.', async () => {
    await complete('job_a');
    expect(await reuse('job_b', { priority: 1 })).toMatchObject({
      id: 'job_b',
      status: 'completed',
      attempts: [],
      result: { methodUsed: 'preview', cached: true, outputKey: outputKeyOf('job_a') },
    });
    expect(await cache.find(testJobRecord('job_c'))).toMatchObject({ id: 'job_a' });
  });

  it('A job of another API key, with another option or without the cache gets none.', async () => {
    await complete('job_a');
    expect(await cache.find({ ...testJobRecord('job_b'), owner: 'other' })).toBeUndefined();
    expect(await reuse('job_c', { syncMode: 'bounce' })).toBeUndefined();
    expect(await cache.find(testJobRecord('job_d', 1_000, { cache: false }))).toBeUndefined();
  });

  it('A result of another engine version is not reused, and a host without an engine uses the latest version.', async () => {
    await complete('job_a');
    const client = new RedisResultCache({ connection, store: bench.store, artifacts });
    expect(await client.find(testJobRecord('job_b'))).toMatchObject({ id: 'job_a' });
    await cache.setEngineVersion('v2');
    expect(await cache.claim(await start('job_b'))).toEqual({ type: 'render' });
    expect(await client.find(testJobRecord('job_c'))).toBeUndefined();
  });

  it('A worker that does not know its engine version reuses nothing.', async () => {
    await complete('job_a');
    const worker = new RedisResultCache({ connection, store: bench.store, artifacts });
    expect(await worker.claim(await start('job_b'))).toEqual({ type: 'render' });
  });

  it('A newer result replaces an older one, and a result whose file is gone is not reused.', async () => {
    await complete('job_a');
    await complete('job_b', { cache: false });
    expect(await cache.find(testJobRecord('job_c'))).toMatchObject({ id: 'job_b' });
    await artifacts.delete(outputKeyOf('job_b'));
    expect(await reuse('job_c')).toBeUndefined();
  });
});

describe('Equal jobs at once', () => {
  const cancel = (id: string) => bench.store.append(id, { type: 'canceled', atMs: 5_000 });

  it('The first one renders, and the others follow it until it has ended.', async () => {
    const [first, second, third] = [await start('job_a'), await start('job_b'), await start('job_c')];
    expect(await cache.claim(first)).toEqual({ type: 'render' });
    expect(await cache.claim(first)).toEqual({ type: 'render' });
    expect(await cache.claim(second)).toEqual({ type: 'waiting', jobId: 'job_a' });
    expect(await cache.claim(third)).toEqual({ type: 'waiting', jobId: 'job_a' });
    await cancel('job_a');
    expect(await cache.claim(third)).toEqual({ type: 'render' });
    expect(await cache.claim(second)).toEqual({ type: 'waiting', jobId: 'job_c' });
    await cancel('job_c');
    await erasure.erase('job_c');
    expect(await cache.claim(second)).toEqual({ type: 'render' });
    await cancel('job_b');
    expect(await connection.keys('lipsync:rendering:*')).toEqual([]);
  });

  it('Of 20 claims at once, one renders.', async () => {
    const started = await Promise.all(Array.from({ length: 20 }, (_, index) => start(`job_${index}`)));
    const claims = await Promise.all(started.map((record) => cache.claim(record)));
    expect(claims.filter(({ type }) => type === 'render')).toHaveLength(1);
  });

  it('No job waits for one that a paused batch holds, and that one follows after the batch is resumed.', async () => {
    const [leader, second, third] = [await startItem(), await start('job_b'), await start('job_c')];
    expect(await cache.claim(leader)).toEqual({ type: 'render' });
    await bench.store.append(leader.id, { type: 'transferred', run: 1, needs: 'inline' });
    expect(await cache.claim(second)).toEqual({ type: 'waiting', jobId: leader.id });
    await bench.batches.setPaused('batch_a', true);
    expect(await cache.claim(second)).toEqual({ type: 'render' });
    expect(await cache.claim(third)).toEqual({ type: 'waiting', jobId: 'job_b' });
    await bench.batches.setPaused('batch_a', false);
    const resumed = lipsyncJob(await bench.store.append(leader.id, { type: 'run_started', atMs: 4_000 }));
    expect(await cache.claim(resumed)).toEqual({ type: 'waiting', jobId: 'job_b' });
  });

  it('Jobs of different engine versions cannot wait for each other.', async () => {
    const other = new RedisResultCache({ connection, store: bench.store, artifacts });
    await other.setEngineVersion('v2');
    const [first, second] = [await start('job_a'), await start('job_b')];
    await cache.claim(first);
    await other.claim(second);
    expect(await other.claim(first)).toEqual({ type: 'waiting', jobId: 'job_b' });
    expect(await cache.claim(second)).toEqual({ type: 'render' });
  });

  it('The followers of an ended job are woken once.', async () => {
    await cache.claim(await start('job_a'));
    await cache.claim(await start('job_b'));
    const woken: string[] = [];
    const wake = async (id: string): Promise<void> => void woken.push(id);
    await expect(cache.wakeFollowers('job_a', { wake: () => Promise.reject(new Error('killed')) })).rejects.toThrow();
    await cache.wakeFollowers('job_a', { wake });
    await cache.wakeFollowers('job_a', { wake });
    expect(woken).toEqual(['job_b']);
  });
});

describe('Erasure of shared results', () => {
  it('The output stays until the last job that uses it is erased, in either order.', async () => {
    for (const [first, second] of [
      ['job_a', 'job_b'],
      ['job_b', 'job_a'],
    ] as const) {
      await complete('job_a');
      await reuse('job_b');
      await erasure.erase(first);
      expect(await output('job_a')).toBe(true);
      expect((await bench.store.get(second))?.status).toBe('completed');
      await erasure.erase(second);
      expect(await output('job_a')).toBe(false);
      const left = await connection.keys('*');
      expect(left.filter((key) => /job_a|job_b|jobs-of:|results|erasing/.test(key))).toEqual([]);
    }
  });

  it('After the erasure of a job, equal ones reuse the result of a job that shares its output.', async () => {
    await complete('job_a');
    await reuse('job_b');
    await erasure.erase('job_a');
    expect(await reuse('job_c')).toMatchObject({ result: { cached: true, outputKey: outputKeyOf('job_a') } });
    await erasure.erase('job_b');
    await erasure.erase('job_c');
    expect(await output('job_a')).toBe(false);
  });

  it('The fingerprint of an output stays with the last job that uses it.', async () => {
    const fingerprints = new FingerprintStore({ state: bench.state });
    const listIds = async (): Promise<readonly string[]> => {
      for await (const page of fingerprints.listKeys()) return page.map(({ jobId }) => jobId);
      return [];
    };
    await complete('job_a');
    await fingerprints.save({ id: 'job_a', owner: null }, { key: { sound: '', pictures: '' }, packed: 'AQ==' });
    await reuse('job_b');
    await erasure.erase('job_a');
    expect(await listIds()).toEqual(['job_b']);
    await erasure.erase('job_b');
    expect(await listIds()).toEqual([]);
    expect((await connection.keys('*fingerprint*')).length).toBe(0);
  });

  it('No job shares an output of a job that is being erased.', async () => {
    await complete('job_a');
    const source = lipsyncJob(await bench.store.get('job_a'));
    const record = testJobRecord('job_b');
    await bench.store.create(record);
    await connection.sadd(erasingJobsKey, 'job_a');
    expect(await cache.share(record, source)).toBeUndefined();
    await connection.srem(erasingJobsKey, 'job_a');
    await connection.set(`${erasingInputPrefix}${outputKeyOf('job_a')}`, 'job_a');
    expect(await cache.share(record, source)).toBeUndefined();
  });

  it('Erasures and reuses at once leave no file and delete none that a job uses.', async () => {
    for (let round = 0; round < 20; round += 1) {
      await complete('job_a');
      const [reused] = await Promise.all([reuse('job_b'), erasure.erase('job_a')]);
      expect(await output('job_a')).toBe(reused !== undefined);
      if (!reused) await bench.store.append('job_b', { type: 'canceled', atMs: 5_000 });
      await erasure.erase('job_b');
      expect(await output('job_a')).toBe(false);
    }
  });
});
