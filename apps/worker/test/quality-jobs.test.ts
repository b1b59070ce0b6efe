import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import {
  createArtifactStore,
  isTerminal,
  newQualityRecord,
  requireKind,
  systemClock,
  type ArtifactStore,
  type InputReference,
  type JobRecord,
  silentLogger,
} from '@lipsync/core/host';
import { qualityOptionsSchema, type QualityOptionsInput } from '@lipsync/core/contract';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startService, type ServiceProcess } from '../../../test/support/service-process.ts';

const presenter = join(import.meta.dirname, '..', '..', '..', 'samples', 'presenter.mp4');
const slow = { timeout: 240_000 } as const;

let redis: TestRedis;
let folder: string;
let connection: Redis;
let store: RedisJobStore;
let producer: LipsyncProducer;
let artifacts: ArtifactStore;
let worker: ServiceProcess;
/** Two seconds of the sample, stored as an upload. */
let video: InputReference;

beforeAll(async () => {
  redis = await startTestRedis();
  folder = await mkdtemp(join(tmpdir(), 'worker-quality-'));
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  store = new RedisJobStore({ connection });
  producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  artifacts = createArtifactStore({
    dataDir: join(folder, 'data'),
    outputDir: join(folder, 'outputs'),
    artifactStore: { kind: 'file' },
  });
  const path = join(folder, 'video.mp4');
  const cut = ['-nostdin', '-v', 'error', '-t', '2', '-i', presenter, '-vf', 'scale=480:-2', '-preset', 'ultrafast'];
  await promisify(execFile)('ffmpeg', [...cut, path]);
  video = await upload(createReadStream(path));
});
afterAll(async () => {
  await worker?.stop();
  await producer.close();
  connection.disconnect();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  if (!worker || worker.child.exitCode !== null || worker.child.signalCode !== null) worker = await startWorker();
});

async function upload(content: Readable): Promise<InputReference> {
  const { key } = await artifacts.putInput(content, { maxBytes: 50_000_000 });
  return { kind: 'artifact', key, name: 'video.mp4' };
}

async function startWorker(): Promise<ServiceProcess> {
  const settings = { QUEUE_LOCK_MS: '1500', QUEUE_STALLED_INTERVAL_MS: '500' };
  const started = startService('worker', { redisUrl: redis.url, folder, settings });
  await started.ready();
  return started;
}

let ids = 0;
async function submit(inputs: { video: InputReference }, options: QualityOptionsInput = {}): Promise<string> {
  const record = newQualityRecord({
    ...inputs,
    id: `job_${(ids += 1)}`,
    options: qualityOptionsSchema.parse(options),
    owner: null,
    nowMs: Date.now(),
  });
  await producer.submit(record);
  return record.id;
}

/** Waits until the job has ended, or meets the condition. */
async function waitFor(id: string, isReached = (record: JobRecord) => isTerminal(record.status)) {
  const find = async (): Promise<JobRecord<'quality'> | undefined> => {
    const record = await store.get(id);
    if (record && (isReached(record) || isTerminal(record.status))) return requireKind(record, 'quality');
    return undefined;
  };
  return expect.poll(find, { timeout: 200_000, interval: 20 }).toBeDefined().then(find);
}

const workFiles = (): Promise<string[]> => readdir(join(folder, 'data', 'work')).catch(() => []);

describe('Quality jobs on a real worker', () => {
  it('A quality job completes with a quality, costs nothing and leaves no output and no work file.', slow, async () => {
    const record = await waitFor(await submit({ video }));
    expect(record).toMatchObject({ status: 'completed', error: null, runs: 1, result: { durationMs: 2_000 } });
    expect(record?.result?.quality.audioQuality).toBeGreaterThan(0);
    await expect.poll(workFiles).toEqual([]);
    expect(await readdir(join(folder, 'outputs')).catch(() => [])).not.toContain(record?.id);
  });

  it('A quality job whose worker is killed in the middle is measured by the next worker.', slow, async () => {
    const id = await submit({ video });
    await waitFor(id, ({ stage }) => stage === 'scoring' || stage === 'tracking');
    await worker.stop();
    worker = await startWorker();
    expect(await waitFor(id)).toMatchObject({ status: 'completed', runs: 2, crashes: 1, error: null });
    await expect.poll(workFiles).toEqual([]);
  });

  it('A video at a URL is fetched in its own lane first, and the URL is kept without its query.', slow, async () => {
    const server = createServer((_, response) => void createReadStream(presenter).pipe(response)).listen(
      0,
      '127.0.0.1',
    );
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const url = `http://127.0.0.1:${port}/video.mp4?key=hush`;
    const id = await submit({ video: { kind: 'url', url } }, { deadlineMs: 80_000 });
    const record = await waitFor(id, ({ stage }) => stage === 'tracking' || stage === 'scoring');
    expect(record).toMatchObject({ runs: 2, spec: { video: { kind: 'artifact', name: 'video.mp4' } } });
    await store.append(id, { type: 'cancel_requested' });
    expect(await waitFor(id)).toMatchObject({ status: 'canceled', result: null });
    expect(JSON.stringify(await store.get(id))).not.toContain('hush');
    await expect.poll(workFiles).toEqual([]);
    server.close();
  });

  it('A deadline ends a quality job, and a file that is no video fails it with its reason.', slow, async () => {
    // Scoring the whole sample takes several seconds.
    const late = await submit({ video: await upload(createReadStream(presenter)) }, { deadlineMs: 1_000 });
    const text = await submit({ video: await upload(Readable.from([await readFile(import.meta.filename)])) });
    expect(await waitFor(late)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' }, result: null });
    const failed = await waitFor(text);
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'clip_unusable' } });
    expect(failed?.error?.message).toMatch(/./);
  });
});
