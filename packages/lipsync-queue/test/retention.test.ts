import { Readable } from 'node:stream';
import { createClientConnection, outputKeyOf, readRetentionCounts, Retention, type JobErasure } from '../src/index.ts';
import { batchItemId, requireKind, undecidedStart, type ArtifactStore, type JobRecord } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let connection: Redis;
let artifacts: ArtifactStore;
let jobs: JobErasure;
let folder: string;

beforeAll(async () => {
  bench = await openBench();
  connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
  artifacts = await bench.artifacts();
  jobs = bench.erasure(artifacts);
  folder = await mkdtemp(join(tmpdir(), 'retention-'));
});
beforeEach(() => bench.empty());
afterAll(async () => {
  connection.disconnect();
  await bench.close();
  await rm(folder, { recursive: true, force: true });
});

const never = { inputsMs: null, outputsMs: null, recordsMs: null };

function retention(ages: Partial<typeof never | Record<keyof typeof never, number>>, nowMs: number): Retention {
  return new Retention({ connection, jobs, ages: { ...never, ...ages }, clock: { nowMs: () => nowMs } });
}

const run = (ages: Parameters<typeof retention>[0], nowMs: number) =>
  retention(ages, nowMs).run(new AbortController().signal);

/** A completed job with a clip, a speech of its own and an output, which ended at `endedAtMs`. */
async function completedJob(id: string, endedAtMs: number, clip = `clip of ${id}`): Promise<JobRecord<'lipsync'>> {
  const [video, audio] = await Promise.all([clip, `speech of ${id}`].map(store));
  const record = testJobRecord(id, 1_000);
  await bench.store.create({ ...record, spec: { ...record.spec, video: reference(video), audio: reference(audio) } });
  const { runs } = await bench.store.append(id, { type: 'run_started', atMs: 2_000 });
  const path = join(folder, id);
  await writeFile(path, `output of ${id}`);
  const { key: outputKey } = await artifacts.publish(path, outputKeyOf(id));
  const result = { methodUsed: 'preview', degraded: true, cached: false, durationMs: 1_000, outputKey } as const;
  await bench.store.append(id, { type: 'completed', run: runs, atMs: endedAtMs, result, warnings: [] });
  return getJob(id);
}

async function store(text: string): Promise<string> {
  return (await artifacts.putInput(Readable.from([Buffer.from(text)]), { maxBytes: 1_000 })).key;
}

const reference = (key = '') => ({ kind: 'artifact', key, name: 'clip.mp4' }) as const;

async function getJob(id: string): Promise<JobRecord<'lipsync'>> {
  const record = await bench.store.get(id);
  return requireKind(record ?? expect.unreachable(), 'lipsync');
}

async function stored({ id, spec }: JobRecord<'lipsync'>): Promise<Record<string, boolean>> {
  const exists = async (key: string) => (await artifacts.stat(key)) !== undefined;
  const keyOf = (input: typeof spec.video) => (input.kind === 'artifact' ? input.key : '');
  return {
    video: await exists(keyOf(spec.video)),
    audio: await exists(keyOf(spec.audio)),
    output: await exists(outputKeyOf(id)),
  };
}

it('Nothing is deleted without settings, and nothing before its age.', async () => {
  const job = await completedJob('job_a', 10_000);
  await run({}, 1_000_000);
  await run({ inputsMs: 5_000, outputsMs: 5_000, recordsMs: 5_000 }, 14_999);
  expect(await stored(job)).toEqual({ video: true, audio: true, output: true });
  expect(await getJob('job_a')).toEqual(job);
});

it('Inputs are deleted at their age with the last job that uses them, and the job states it.', async () => {
  const [first, second] = [
    await completedJob('job_a', 10_000, 'shared'),
    await completedJob('job_b', 20_000, 'shared'),
  ];
  expect(await run({ inputsMs: 5_000 }, 15_000)).toEqual({ inputs: 1, outputs: 0, records: 0 });
  expect(await stored(first)).toEqual({ video: true, audio: false, output: true });
  expect(await getJob('job_a')).toMatchObject({ inputsDeletedAtMs: 15_000 });
  expect((await getJob('job_b')).inputsDeletedAtMs).toBeUndefined();
  await run({ inputsMs: 5_000 }, 25_000);
  expect(await stored(second)).toEqual({ video: false, audio: false, output: true });
  expect(await run({ inputsMs: 5_000 }, 30_000)).toEqual({ inputs: 0, outputs: 0, records: 0 });
  expect(await readRetentionCounts(connection)).toEqual({ inputs: 2, outputs: 0, records: 0 });
});

it('An output is deleted at its age, and the inputs stay.', async () => {
  const job = await completedJob('job_a', 10_000);
  await run({ outputsMs: 5_000 }, 15_000);
  expect(await stored(job)).toEqual({ video: true, audio: true, output: false });
  expect(await getJob('job_a')).toMatchObject({ status: 'completed', outputDeletedAtMs: 15_000 });
});

it('A whole job is deleted at its age, and nothing of it is left.', async () => {
  const job = await completedJob('job_a', 10_000);
  await completedJob('job_b', 20_000);
  expect(await run({ inputsMs: 1_000, recordsMs: 5_000 }, 15_000)).toEqual({ inputs: 0, outputs: 0, records: 1 });
  expect(await stored(job)).toEqual({ video: false, audio: false, output: false });
  expect([await bench.store.get('job_a'), (await getJob('job_b')).id]).toEqual([undefined, 'job_b']);
  const sets = await Promise.all(
    ['inputs', 'outputs', 'records'].map((data) => connection.zrange(`lipsync:jobs-ended-with-${data}`, 0, '-1')),
  );
  expect(sets).toEqual([['job_b'], ['job_b'], ['job_b']]);
});

it('Jobs that ended under an earlier version are deleted at their age.', async () => {
  await completedJob('job_a', 10_000);
  await connection.del('lipsync:jobs-ended-with-records', 'lipsync:jobs-indexed');
  expect(await run({ recordsMs: 5_000 }, 15_000)).toMatchObject({ records: 1 });
  expect(await bench.store.get('job_a')).toBeUndefined();
});

it('A job that is retried keeps its files while it runs.', async () => {
  await bench.store.create(testJobRecord('job_a', 1_000));
  const { runs } = await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
  await bench.store.append('job_a', {
    type: 'failed',
    run: runs,
    atMs: 3_000,
    code: 'internal',
    message: 'Broke.',
    warnings: [],
  });
  await bench.store.append('job_a', { type: 'retried', atMs: 4_000, start: { plan: null, needs: null } });
  await run({ inputsMs: 1_000, outputsMs: 1_000, recordsMs: 1_000 }, 1_000_000);
  expect((await getJob('job_a')).inputsDeletedAtMs).toBeUndefined();
});

it('A failure does not keep other jobs from being deleted, and is repeated.', async () => {
  await completedJob('job_a', 10_000);
  await completedJob('job_b', 10_000);
  const failing: Pick<JobErasure, 'erase' | 'deleteFiles'> = {
    erase: (id) => (id === 'job_a' ? Promise.reject(new Error('disk')) : jobs.erase(id)),
    deleteFiles: (...values) => jobs.deleteFiles(...values),
  };
  const clock = { nowMs: () => 15_000 };
  const first = new Retention({ connection, jobs: failing, ages: { ...never, recordsMs: 5_000 }, clock });
  await expect(first.run(new AbortController().signal)).rejects.toThrow('disk');
  expect(await bench.store.get('job_b')).toBeUndefined();
  expect(await run({ recordsMs: 5_000 }, 15_000)).toMatchObject({ records: 1 });
});

it('A batch is deleted after its last job, so that one that was retried after the end of the batch is not canceled.', async () => {
  const { spec, owner } = testJobRecord('job_a');
  const items = [1, 2].map((item) => ({ ...spec, outputName: `${item}.mp4` }));
  const { record } = await bench.batches.submit({ owner, items, options: { metadata: {} }, ...noTrace });
  const [first, second] = [batchItemId(record.id, 0), batchItemId(record.id, 1)];
  for (const id of [first, second]) await fail(id, 10_000);
  await bench.batches.settle(requireKind(await getRecord(record.id), 'batch'));
  await bench.store.append(second, { type: 'retried', atMs: 11_000, start: undecidedStart });
  const atMs = Date.now() + 60_000;
  await run({ recordsMs: 5_000 }, atMs);
  expect(await bench.store.get(first)).toBeUndefined();
  expect([(await getRecord(record.id)).status, (await getRecord(second)).status]).toEqual(['completed', 'queued']);
  await fail(second, atMs);
  await run({ recordsMs: 5_000 }, atMs + 5_000);
  await run({ recordsMs: 5_000 }, atMs + 5_000);
  expect([await bench.store.get(record.id), await bench.store.get(second)]).toEqual([undefined, undefined]);
});

const noTrace = { traceparent: null, requestId: null };

async function getRecord(id: string): Promise<JobRecord> {
  return (await bench.store.get(id)) ?? expect.unreachable();
}

async function fail(id: string, atMs: number): Promise<void> {
  const { runs } = await bench.store.append(id, { type: 'run_started', atMs });
  await bench.store.append(id, { type: 'failed', run: runs, atMs, code: 'internal', message: 'Broke.', warnings: [] });
}
