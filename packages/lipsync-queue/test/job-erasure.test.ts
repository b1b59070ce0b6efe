import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  batchItemId,
  candidateKeyOf,
  Ledger,
  LipsyncError,
  newBatchItemRecord,
  newBatchRecord,
  newWebhookRecord,
  payerOf,
  systemClock,
  toMicros,
  webhookIdOf,
  type ArtifactStore,
  type JobRecord,
} from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { testJobRecord, testAttempt } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createClientConnection,
  createRequestKey,
  JobOutputs,
  outputKeyOf,
  UploadedInputs,
  type JobErasure,
} from '../src/index.ts';
import { countedInputsKey, erasingInputPrefix, inputJobsPrefix, jobKey, uploadedInputsKey } from '../src/job-keys.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let connection: Redis;
let artifacts: ArtifactStore;
let erasure: JobErasure;

beforeAll(async () => {
  bench = await openBench();
  artifacts = await bench.artifacts();
  connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  erasure = bench.erasure(artifacts);
});
beforeEach(() => bench.empty());
afterAll(async () => {
  connection.disconnect();
  await bench.close();
});

async function submitBatch(count: number): Promise<string> {
  const input = { kind: 'url', url: 'https://example.org/private.mp4' } as const;
  const items = Array.from({ length: count }, (_, index) => ({
    options: lipsyncOptionsSchema.parse({}),
    video: input,
    audio: input,
    outputName: `private-${index}.mp4`,
  }));
  const sender = { owner: null, traceparent: null, requestId: null };
  return (await bench.batches.submit({ ...sender, items, options: { metadata: { campaign: 'private' } } })).record.id;
}

/** Returns a new job whose clip and speech have these contents; both are stored. */
async function jobOf(id: string, clip: string, speech = `speech of ${id}`): Promise<JobRecord<'lipsync'>> {
  const [video, audio] = await Promise.all([clip, speech].map((text) => stored(text)));
  const record = testJobRecord(id, 1_000);
  return { ...record, spec: { ...record.spec, video: reference(video), audio: reference(audio) } };
}

async function stored(text: string): Promise<string> {
  return (await artifacts.putInput(Readable.from([Buffer.from(text)]), { maxBytes: 1_000 })).key;
}

const newBatch = {
  id: 'batch_a',
  owner: null,
  nowMs: systemClock.nowMs() - 60_000,
  traceparent: null,
  requestId: null,
  options: { metadata: {} },
};

const noLimit = new AbortController().signal;
const reference = (key = '') => ({ kind: 'artifact', key, name: 'clip.mp4' }) as const;
const keyOf = (text: string) => `inputs/${createHash('sha256').update(text).digest('hex')}`;
const exists = async (text: string) => (await artifacts.stat(keyOf(text))) !== undefined;

describe('JobErasure', () => {
  it('Erasing a job leaves nothing of it in Redis, and deletes its files.', async () => {
    const claim = { ...createRequestKey(null, 'key-1'), fingerprint: 'f' };
    const job = await jobOf('job_a', 'clip');
    const options = { ...job.spec.options, userId: 'user-1' };
    await bench.producer.submitOnce({ ...job, owner: 'alice', spec: { ...job.spec, options } }, claim);
    expect(await erasure.erase('job_a')).toBe('erased');
    expect([await exists('clip'), await exists('speech of job_a')]).toEqual([false, false]);
    const keys = await connection.keys('*');
    expect(keys.filter((key) => /job_a|jobs-|erasing|idempotency/.test(key))).toEqual([]);
    expect((await bench.store.list({ kind: 'lipsync', limit: 10 })).records).toEqual([]);
    expect(await bench.store.unfinished()).toEqual([]);
    expect(await erasure.erase('job_a')).toBe('erased');
  });

  it('Erasing a job erases its deliveries too, also one that waits for its next try.', async () => {
    await bench.producer.submit(await jobOf('job_a', 'clip'));
    await bench.store.append('job_a', { type: 'canceled', atMs: 2_000 });
    const id = webhookIdOf({ jobId: 'job_a', retries: 0 });
    const message = { url: 'https://example.org/hook', event: 'lipsync.canceled', subjectId: 'job_a', body: '{}' };
    await bench.producer.submit(newWebhookRecord({ ...message, id, owner: 'alice', nowMs: 2_000 }));
    expect((await bench.store.list({ kind: 'webhook', subjectId: 'job_a', limit: 10 })).records).toHaveLength(1);
    expect(await erasure.erase('job_a')).toBe('erased');
    expect((await connection.keys('*')).filter((key) => /job_a|jobs-(?!indexed)|erasing/.test(key))).toEqual([]);
  });

  it('Erasing a job erases the messages about its progress.', async () => {
    const job = await jobOf('job_a', 'clip');
    const options = { ...job.spec.options, webhookProgress: true };
    await bench.producer.submit({ ...job, spec: { ...job.spec, options } });
    await bench.store.append('job_a', { type: 'canceled', atMs: 2_000 });
    const message = { url: 'https://example.org/hook', event: 'lipsync.progress', subjectId: 'job_a', body: '{}' };
    for (const id of ['msg_job_a_p1', 'msg_job_a_p2'])
      await bench.producer.submit(newWebhookRecord({ ...message, id, owner: 'alice', nowMs: 2_000 }));
    expect(await erasure.erase('job_a')).toBe('erased');
    expect((await connection.keys('*')).filter((key) => /job_a|jobs-(?!indexed)|erasing/.test(key))).toEqual([]);
  });

  it('The files of a batch are kept until the jobs of its items exist, and deleted with the last of these jobs.', async () => {
    const [video, audio] = [reference(await stored('clip')), reference(await stored('speech'))];
    const item = { options: lipsyncOptionsSchema.parse({}), video, audio };
    const batch = newBatchRecord({
      ...newBatch,
      items: [
        { ...item, outputName: 'a.mp4' },
        { ...item, outputName: 'b.mp4' },
      ],
    });
    // The process that received the batch is killed here.
    await bench.producer.submit(batch);
    await bench.producer.submit(await jobOf('job_a', 'clip', 'speech'));
    expect(await erasure.erase('job_a')).toBe('erased');
    expect([await exists('clip'), await exists('speech')]).toEqual([true, true]);
    await bench.batches.sweep();
    expect(await connection.smembers(`${inputJobsPrefix}${keyOf('clip')}`)).toEqual(
      expect.not.arrayContaining(['batch_a']),
    );
    await erasure.erase(batchItemId('batch_a', 0));
    expect([await exists('clip'), await exists('speech')]).toEqual([true, true]);
    await erasure.erase(batchItemId('batch_a', 1));
    expect([await exists('clip'), await exists('speech')]).toEqual([false, false]);
  });

  it('An upload that no job names is deleted after an hour, unless a job uses an equal file.', async () => {
    const at = (ageMs: number) => new UploadedInputs({ connection, clock: { nowMs: () => Date.now() - ageMs } });
    const keys = { clip: await stored('clip'), lost: await stored('lost'), fresh: await stored('fresh') };
    await bench.producer.submit(await jobOf('job_a', 'clip'));
    await at(7_200_000).note([keys.clip, keys.lost]);
    await at(60_000).note([keys.fresh]);
    expect(await erasure.deleteUnusedUploads(noLimit)).toBe(1);
    expect([await exists('clip'), await exists('lost'), await exists('fresh')]).toEqual([true, false, true]);
    expect(await connection.zrange(uploadedInputsKey, 0, '-1')).toEqual([keys.fresh]);
    await bench.producer.submit(await jobOf('job_b', 'fresh'));
    expect(await connection.exists(uploadedInputsKey)).toBe(0);
  });

  it('A file of a batch whose jobs were deleted before all jobs of the batch exist is deleted later.', async () => {
    const video = reference(await stored('clip'));
    const item = { options: lipsyncOptionsSchema.parse({}), video, audio: video, outputName: 'a.mp4' };
    const batch = newBatchRecord({ ...newBatch, items: [item] });
    await bench.producer.submit(batch);
    await bench.producer.submit(newBatchItemRecord(batch, 0));
    expect(await erasure.erase(batchItemId(batch.id, 0))).toBe('erased');
    expect(await exists('clip')).toBe(true);
    await bench.batches.sweep();
    await erasure.deleteUnusedUploads(noLimit);
    expect(await exists('clip')).toBe(false);
  });

  it('Erasing a batch erases its jobs, also those that are running once they have stopped.', async () => {
    const id = await submitBatch(3);
    const running = batchItemId(id, 1);
    const { runs: run } = await bench.store.append(running, { type: 'run_started', atMs: 2_000 });
    await bench.store.append(batchItemId(id, 2), { type: 'canceled', atMs: 2_000 });
    expect(await erasure.erase(id)).toBe('pending');
    await bench.store.append(running, {
      type: 'failed',
      run,
      atMs: 3_000,
      code: 'canceled',
      message: '',
      warnings: [],
    });
    await erasure.resumeAll(noLimit);
    const keys = (await connection.keys('*')).filter((key) => key !== 'lipsync:outbox');
    expect(keys.filter((key) => key.includes('batch'))).toEqual([]);
    for (const key of keys.filter((name) => name.startsWith('lipsync:')))
      expect(await connection.dump(key), key).not.toContain('private');
  });

  it('An erased job counts in the totals of its batch and is not queued again.', async () => {
    const id = await submitBatch(2);
    const erased = batchItemId(id, 0);
    expect(await erasure.erase(erased)).toBe('erased');
    expect(await connection.hget(`lipsync:jobs:${id}`, 'record')).not.toContain('private.mp4');
    await bench.producer.sweep();
    await bench.batches.sweep();
    expect(await bench.store.get(erased)).toBeUndefined();
    const { runs: run } = await bench.store.append(batchItemId(id, 1), { type: 'run_started', atMs: 2_000 });
    const failed = { type: 'failed', run, atMs: 3_000, code: 'internal', message: '', warnings: [] } as const;
    await bench.store.append(batchItemId(id, 1), failed);
    for (const entry of await bench.store.readOutbox(10)) await bench.batches.settleAfter(entry);
    expect(await bench.store.get(id)).toMatchObject({
      status: 'completed',
      result: { total: 2, success: 0, failed: 1, canceled: 1 },
    });
  });

  it('An input is deleted with the last of its jobs.', async () => {
    await bench.store.create(await jobOf('job_a', 'shared'));
    await bench.store.create(await jobOf('job_b', 'shared'));
    await erasure.erase('job_a');
    expect([await exists('shared'), await exists('speech of job_a'), await exists('speech of job_b')]).toEqual([
      true,
      false,
      true,
    ]);
    await erasure.erase('job_b');
    expect(await exists('shared')).toBe(false);
  });

  it('Erasing a job gives the user in its ledger entry a pseudonym, and the sum and the budget of the user stay.', async () => {
    const caps = { dailyMicros: null, monthlyMicros: null, userDailyMicros: toMicros(1_000) };
    const ledger = new Ledger({ state: bench.state, clock: systemClock, caps });
    const job = await jobOf('job_a', 'clip');
    const attempt = testAttempt({
      outcome: 'failed',
      code: 'provider_failed',
      startedAtMs: 1_000,
      endedAtMs: 2_000,
      costMicros: 900,
      operation: { id: 'op-1', state: {} },
    });
    const user = { ...payerOf('alice', 'ann@example.org'), provider: 'heygen', atMs: 1_000 };
    await bench.store.create({ ...job, owner: 'alice', attempts: [attempt] });
    await ledger.reserve({ ...user, id: 'job_a-0', jobId: 'job_a', micros: toMicros(900) });
    await ledger.settle({ id: 'job_a-0', atMs: 1_000 }, { micros: toMicros(900), atMs: 2_000 });
    await erasure.erase('job_a');
    const rows = await ledger.sum({ fromMs: 0, toMs: 5_000, groupBy: 'user' });
    expect(rows).toMatchObject([{ key: expect.stringMatching(/^erased-.{16}$/), owner: 'alice', spentMicros: 900 }]);
    await expect(
      ledger.reserve({ ...user, id: 'job_b-0', jobId: 'job_b', micros: toMicros(200) }),
    ).rejects.toMatchObject({ code: 'budget_exceeded' });
    expect(await bench.state.list('vendor-copies/', { limit: 10 })).toMatchObject([
      { document: { jobId: 'job_a', index: 0, provider: 'heygen', operation: { id: 'op-1' } } },
    ]);
    const keys = await connection.keys('*');
    const values = await Promise.all(keys.map((key) => connection.get(key).catch(() => '')));
    expect(JSON.stringify([keys, values])).not.toContain('ann@');
  });

  it('Jobs that are erased at once leave no input and delete none of another job.', async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `job_${index}`);
    for (const id of ids) await bench.store.create(await jobOf(id, `clip ${Number(id.slice(4)) % 4}`));
    await Promise.all(ids.slice(1).map((id) => erasure.erase(id)));
    expect(await Promise.all([0, 1, 2, 3].map((index) => exists(`clip ${index}`)))).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  it('An input of a record that an earlier version stored is kept for it.', async () => {
    await bench.store.create(await jobOf('job_a', 'old'));
    await bench.store.create(await jobOf('job_b', 'old'));
    await connection.del(countedInputsKey, `${inputJobsPrefix}${keyOf('old')}`);
    await erasure.erase('job_a');
    expect(await exists('old')).toBe(true);
    await erasure.erase('job_b');
    expect(await exists('old')).toBe(false);
  });

  it('A downloaded input counts from the moment at which it replaces its URL.', async () => {
    const record = await jobOf('job_a', 'downloaded');
    const { video } = record.spec;
    await bench.store.create({
      ...record,
      spec: { ...record.spec, video: { kind: 'url', url: 'https://example.org' } },
    });
    await bench.store.create(await jobOf('job_b', 'downloaded'));
    const { runs } = await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
    await bench.store.append('job_a', { type: 'inputs_fetched', run: runs, inputs: { video } });
    await erasure.erase('job_b');
    expect(await exists('downloaded')).toBe(true);
  });

  it('A record that cannot be read keeps the inputs that its JSON names.', async () => {
    await bench.store.create(await jobOf('job_a', 'clip'));
    await bench.store.create(await jobOf('job_b', 'clip'));
    await connection.hset('lipsync:jobs:job_b', 'record', `{"unknown": ["${keyOf('clip')}"]}`);
    await connection.del(countedInputsKey, `${inputJobsPrefix}${keyOf('clip')}`);
    await erasure.erase('job_a');
    expect(await exists('clip')).toBe(true);
  });

  it('The metadata of a job does not keep the input of another job.', async () => {
    const record = await jobOf('job_b', 'other');
    const metadata = { note: keyOf('clip') };
    await bench.store.create(await jobOf('job_a', 'clip'));
    await bench.store.create({ ...record, spec: { ...record.spec, options: { ...record.spec.options, metadata } } });
    await erasure.erase('job_a');
    expect(await exists('clip')).toBe(false);
  });

  it('An erasure that was interrupted while it deleted files is finished later.', async () => {
    const record = await jobOf('job_a', 'clip');
    await bench.store.create(record);
    await bench.store.append('job_a', { type: 'canceled', atMs: 2_000 });
    const interrupted = bench.erasure({
      delete: () => Promise.reject(new Error('killed')),
      stat: async () => undefined,
    });
    await expect(interrupted.erase('job_a')).rejects.toThrow('killed');
    expect(await bench.store.get('job_a')).toBeDefined();
    expect(await erasure.resumeAll(noLimit)).toBe(1);
    expect([await bench.store.get('job_a'), await exists('clip')]).toEqual([undefined, false]);
    expect(await erasure.resumeAll(noLimit)).toBe(0);
  });

  it('An erasure that fails does not keep others from being finished.', async () => {
    for (const id of ['job_a', 'job_b', 'job_c']) {
      await bench.store.create(await jobOf(id, `clip of ${id}`));
      await connection.sadd('lipsync:jobs-erasing', id);
    }
    await connection.hset('lipsync:jobs:job_b', 'record', 'unreadable');
    await expect(erasure.resumeAll(noLimit)).rejects.toMatchObject({ code: 'internal' });
    expect([await bench.store.get('job_a'), await bench.store.get('job_c')]).toEqual([undefined, undefined]);
  });

  it('Items of a batch are canceled and erased although one of them cannot be read.', async () => {
    const id = await submitBatch(60);
    await connection.hset(jobKey(batchItemId(id, 3)), 'record', 'unreadable');
    await expect(bench.batches.cancel(id)).rejects.toMatchObject({ code: 'internal' });
    expect(await bench.store.get(batchItemId(id, 59))).toMatchObject({ status: 'canceled' });
    await expect(erasure.erase(id)).rejects.toMatchObject({ code: 'internal' });
    const left = await connection.keys(jobKey(batchItemId(id, 0)).replace(/[^:]*$/, '*'));
    expect(left.toSorted()).toEqual([jobKey(id), jobKey(batchItemId(id, 3))].toSorted());
  });

  it('Uploads and files are deleted although one of them cannot be.', async () => {
    const keys = [await stored('first'), await stored('second'), await stored('third')];
    const refused = new Set([keyOf('first'), keyOf('clip')]);
    const old = systemClock.nowMs() - 2 * 3_600_000;
    for (const [index, key] of keys.entries()) await connection.zadd(uploadedInputsKey, old + index, key);
    const refusing = bench.erasure({
      delete: (key) => (refused.has(key) ? Promise.reject(new Error('refused')) : artifacts.delete(key)),
      stat: (key) => artifacts.stat(key),
    });
    await expect(refusing.deleteUnusedUploads(noLimit)).rejects.toThrow('refused');
    expect(await Promise.all(['first', 'second', 'third'].map(exists))).toEqual([true, false, false]);
    await bench.store.create(await jobOf('job_a', 'clip', 'speech'));
    await bench.store.append('job_a', { type: 'canceled', atMs: 2_000 });
    await expect(refusing.erase('job_a')).rejects.toThrow('refused');
    expect([await exists('clip'), await exists('speech')]).toEqual([true, false]);
    expect(await erasure.erase('job_a')).toBe('erased');
  });

  it('Erasures stop at the limit of their time, and continue the next time.', async () => {
    for (const id of ['job_a', 'job_b', 'job_c']) {
      await bench.store.create(await jobOf(id, `clip of ${id}`));
      await connection.sadd('lipsync:jobs-erasing', id);
    }
    const limit = new AbortController();
    const keys: string[] = [];
    const failing = bench.erasure({
      async delete(key) {
        keys.push(key);
        limit.abort();
        throw new Error('no connection');
      },
      stat: async () => undefined,
    });
    await expect(failing.resumeAll(limit.signal)).rejects.toThrow('no connection');
    expect(keys.filter((key) => key.startsWith('outputs/'))).toHaveLength(1);
    expect(await erasure.resumeAll(noLimit)).toBe(3);
  });

  it('A deletion that takes too long is aborted while no new job can use the file, and repeated later.', async () => {
    await bench.store.create(await jobOf('job_a', 'clip'));
    await bench.store.append('job_a', { type: 'canceled', atMs: 2_000 });
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    const limits = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => timeout(50));
    const silent = bench.erasure({
      delete: (_key, signal) =>
        once(signal ?? new AbortController().signal, 'abort').then(() => signal?.throwIfAborted()),
      stat: async () => undefined,
    });
    await expect(silent.erase('job_a')).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(limits).toHaveBeenCalledExactlyOnceWith(15_000);
    limits.mockRestore();
    expect(await connection.pttl(`${erasingInputPrefix}${keyOf('clip')}`)).toBeGreaterThan(10_000);
    expect([await exists('clip'), await erasure.erase('job_a'), await exists('clip')]).toEqual([true, 'erased', false]);
  });

  it('A new job is refused while one of its inputs is being deleted.', async () => {
    const record = await jobOf('job_a', 'clip');
    await connection.set(`${erasingInputPrefix}${keyOf('clip')}`, 'job_b');
    await expect(bench.store.create(record)).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(await bench.store.get('job_a')).toBeUndefined();
  });

  it('A rejected take that a killed process left in the store is erased with its job.', async () => {
    const left = candidateKeyOf('job_a', 1);
    await bench.store.create({ ...(await jobOf('job_a', 'clip')), attempts: [testAttempt(), testAttempt()] });
    await bench.store.append('job_a', { type: 'canceled', atMs: 3_000 });
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-erasure-'));
    await writeFile(join(folder, 'take.mp4'), 'a face');
    await artifacts.publish(join(folder, 'take.mp4'), left);
    expect(await erasure.erase('job_a')).toBe('erased');
    expect(await artifacts.stat(left)).toBeUndefined();
    await rm(folder, { recursive: true });
  });

  it('A paused run that publishes after the erasure of its job leaves no output in the store.', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-erasure-'));
    const take = join(folder, 'take.mp4');
    await writeFile(take, 'a face');
    const outputs = new JobOutputs({ artifacts, store: bench.store });
    await expect(outputs.publish(take, { id: 'job_gone' })).rejects.toMatchObject({ code: 'not_found' });
    expect(await outputs.find({ id: 'job_gone' })).toBeUndefined();
    await rm(folder, { recursive: true });
  });

  it('A job that cannot be read after its output was published fails the store, not the job.', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-erasure-'));
    await writeFile(join(folder, 'take.mp4'), 'a face');
    const failure = new LipsyncError('resource_exhausted', 'No answer.');
    const outputs = new JobOutputs({ artifacts, store: { get: () => Promise.reject(failure) } });
    const published = outputs.publish(join(folder, 'take.mp4'), { id: 'job_a' });
    await expect(published).rejects.toMatchObject({ name: 'StoreFailure', cause: failure });
    expect(await outputs.find({ id: 'job_a' })).toBeDefined();
    await rm(folder, { recursive: true });
  });

  it('A running job is canceled, and erased with its output once it has ended.', async () => {
    await bench.store.create(await jobOf('job_a', 'clip'));
    await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
    expect(await erasure.erase('job_a')).toBe('pending');
    expect(await bench.store.get('job_a')).toMatchObject({ status: 'processing', cancelRequested: true });
    expect([await erasure.resumeAll(noLimit), await exists('clip')]).toEqual([0, true]);
    await bench.store.append('job_a', { type: 'canceled', atMs: 3_000 });
    expect([await erasure.resumeAll(noLimit), await exists('clip')]).toEqual([1, false]);
    expect(await artifacts.stat(outputKeyOf('job_a'))).toBeUndefined();
  });
});
