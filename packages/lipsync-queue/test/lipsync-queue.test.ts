import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import {
  InputNotFoundError,
  parseAllowedHosts,
  TimeoutError,
  type ArtifactStore,
  type JobRecord,
  silentLogger,
} from '@lipsync/core/host';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { LipsyncQueue, openLipsyncQueue, type EnqueueInput } from '../src/index.ts';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
let artifacts: ArtifactStore;
let queue: LipsyncQueue;
let dir: string;
let files: { readonly videoPath: string; readonly audioPath: string };

beforeAll(async () => {
  bench = await openBench();
  artifacts = await bench.artifacts();
  dir = await mkdtemp(join(tmpdir(), 'program-'));
  files = { videoPath: join(dir, 'a "clip".mp4'), audioPath: join(dir, 'speech.wav') };
  await writeFile(files.videoPath, 'picture');
  await writeFile(files.audioPath, 'sound');
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
  await bench.close();
});
beforeEach(async () => {
  await bench.empty();
  queue = new LipsyncQueue({
    redisUrl: bench.redis.url,
    artifacts,
    maxInputBytes: 100,
    allowedPrivateHosts: parseAllowedHosts([]),
    logger: silentLogger,
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
  return queue.close();
});

describe('enqueue', () => {
  it('Files are stored under their names, and the record contains no local path.', async () => {
    const { id } = await queue.enqueue({ ...files, method: 'preview', metadata: { order: 7 } });
    const record = await queue.get(id);
    expect(record).toMatchObject({
      status: 'queued',
      spec: {
        options: { method: 'preview', metadata: { order: 7 } },
        video: { kind: 'artifact', name: 'a "clip".mp4' },
      },
    });
    expect(JSON.stringify(record)).not.toContain(dir);
    expect(await contentOf(record?.spec.video)).toBe('picture');
  });

  it('URLs are stored as given for the worker to download.', async () => {
    const { id } = await queue.enqueue({ videoUrl: 'https://example.com/clip.mp4', audioPath: files.audioPath });
    expect((await queue.get(id))?.spec.video).toEqual({ kind: 'url', url: 'https://example.com/clip.mp4' });
  });

  it('Job ids sort by time and are valid for BullMQ.', async () => {
    const first = await queue.enqueue(files);
    await delay(2);
    const second = await queue.enqueue(files);
    expect(first.id < second.id).toBe(true);
    expect(first.id).toMatch(/^job_[a-z0-9]+$/);
  });

  it.each(['missing.wav', '.'])(
    '%j is rejected because it is not a readable file, before anything is stored.',
    async (name) => {
      await expect(queue.enqueue({ ...files, audioPath: join(dir, name) })).rejects.toBeInstanceOf(InputNotFoundError);
      expect(await bench.store.unfinished()).toEqual([]);
    },
  );

  it.each([
    ['a private URL', 'url_forbidden', { videoUrl: 'http://127.0.0.1/clip.mp4' }],
    ['an invalid URL', 'request_invalid', { videoUrl: 'clip.mp4' }],
  ])('An input with %s is rejected.', async (_what, code, source) => {
    await expect(queue.enqueue({ audioPath: files.audioPath, ...source })).rejects.toMatchObject({ code });
  });

  it.each([{}, { method: 'heygen' }] as const)(
    'The plan of %j is left to a worker, because a program may lack its keys and models.',
    async (options) => {
      vi.stubEnv('HEYGEN_API_KEY', undefined).stubEnv('WAV2LIP_MODEL_PATH', undefined);
      const program = openLipsyncQueue({ redisUrl: bench.redis.url, dataDir: join(dir, 'data') });
      onTestFinished(() => program.close());
      const { id } = await program.enqueue({ ...files, ...options });
      expect(await bench.store.get(id)).toMatchObject({ plan: null, needs: 'remote' });
      expect(await (await bench.producer.queue('cloud')).getJobState(id)).not.toBe('unknown');
    },
  );

  it('Unknown options are rejected, each by name.', async () => {
    const input: EnqueueInput & Record<string, unknown> = { ...files, methd: 'preview', color: 'red' };
    await expect(queue.enqueue(input)).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringMatching(/methd.*color/),
    });
  });

  it('Two sources for one input are rejected.', async () => {
    await expect(queue.enqueue({ ...files, videoUrl: 'https://example.com/clip.mp4' })).rejects.toMatchObject({
      code: 'request_invalid',
    });
  });

  it('A file above the size limit is rejected.', async () => {
    const large = join(dir, 'large.mp4');
    await writeFile(large, Buffer.alloc(101));
    await expect(queue.enqueue({ ...files, videoPath: large })).rejects.toMatchObject({ code: 'payload_too_large' });
  });
});

describe('waitFor', () => {
  it('waitFor resolves with the record shortly after the job ends.', async () => {
    const { id } = await queue.enqueue(files);
    const waiting = queue.waitFor(id, { timeoutMs: 5_000 });
    await delay(100);
    const endedAt = performance.now();
    await bench.store.append(id, { type: 'run_started', atMs: 1 });
    await bench.store.append(id, {
      type: 'failed',
      run: 1,
      atMs: 2,
      code: 'clip_unusable',
      message: 'No face.',
      warnings: [],
    });
    expect(await waiting).toMatchObject({ status: 'failed', error: { code: 'clip_unusable' } });
    expect(performance.now() - endedAt).toBeLessThan(4_000);
  });

  it('waitFor resolves at once for a job that has already ended.', async () => {
    const { id } = await queue.enqueue(files);
    await queue.cancel(id);
    expect(await queue.waitFor(id, { timeoutMs: 1_000 })).toMatchObject({ status: 'canceled' });
  });

  it('waitFor throws TimeoutError after its time limit, and the job keeps running.', async () => {
    const { id } = await queue.enqueue(files);
    const error = await queue.waitFor(id, { timeoutMs: 100 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ code: 'deadline_exceeded' });
    expect(await queue.get(id)).toMatchObject({ status: 'queued', cancelRequested: false });
  });

  it('waitFor throws when its signal aborts.', async () => {
    const { id } = await queue.enqueue(files);
    await expect(queue.waitFor(id, { timeoutMs: 5_000, signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      code: 'canceled',
    });
  });

  it('An unknown job id is reported as not found.', async () => {
    await expect(queue.waitFor('job_missing', { timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('waitFor survives a kill of the Redis server.', async () => {
    const { id } = await queue.enqueue(files);
    const waiting = queue.waitFor(id, { timeoutMs: 20_000 });
    await delay(500);
    await bench.redis.kill();
    await delay(300);
    await bench.redis.restart();
    await bench.store.append(id, { type: 'canceled', atMs: 2 });
    expect(await waiting).toMatchObject({ status: 'canceled' });
  });
});

describe('cancel', () => {
  it('Canceling a queued job ends it and removes it from its queue.', async () => {
    const { id } = await queue.enqueue(files);
    expect(await queue.cancel(id)).toMatchObject({ status: 'canceled' });
    expect(await (await bench.producer.queue('cloud')).getJobState(id)).toBe('unknown');
  });

  it('Canceling a running job stores the request for its worker.', async () => {
    const { id } = await queue.enqueue(files);
    await bench.store.append(id, { type: 'run_started', atMs: 1 });
    expect(await queue.cancel(id)).toMatchObject({ status: 'processing', cancelRequested: true });
  });

  it('Canceling a finished job changes nothing.', async () => {
    const { id } = await queue.enqueue(files);
    const ended = await queue.cancel(id);
    expect(await queue.cancel(id)).toEqual(ended);
  });

  it('An unknown job id is reported as not found.', async () => {
    await expect(queue.cancel('job_missing')).rejects.toMatchObject({ code: 'not_found' });
  });
});

async function contentOf(input: JobRecord['spec']['video'] | undefined): Promise<string> {
  if (input?.kind !== 'artifact') throw new Error('the input is not stored');
  return (await buffer(await artifacts.read(input.key))).toString();
}
