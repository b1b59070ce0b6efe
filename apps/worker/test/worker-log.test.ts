import { lipsyncJob, testPlan } from '@lipsync/core/testing';
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createArtifactStore, newJobRecord, systemClock, type Logger } from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { expect, it, onTestFinished } from 'vitest';
import { workerConfigFromEnvironment } from '../src/config.ts';
import { startWorker } from '../src/wiring.ts';

interface Line {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

/** Registers a cleanup; cleanups run in reverse order after the test. */
function cleanUp(undo: () => unknown): void {
  onTestFinished(async () => void (await undo()));
}

/** Starts an API that rejects every key. Returns its URL. */
async function startRejectingVendor(): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    response
      .writeHead(401, { 'Content-Type': 'application/json' })
      .end('{"error":{"code":"unauthorized","message":"Invalid API key"}}');
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  cleanUp(() => server.close());
  // `as`: the address of a server that listens on a TCP port.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it(
  'The worker log warns at start about the corrected endpoint, and reports a rejected key and the first job that it failed once each as errors, and an unusable clip in one line without a stack.',
  { timeout: 120_000 },
  async () => {
    const redis = await startTestRedis();
    cleanUp(() => redis.stop());
    const folder = await mkdtemp(join(tmpdir(), 'worker-log-'));
    cleanUp(() => rm(folder, { recursive: true, force: true }));
    const config = await workerConfigFromEnvironment({
      REDIS_URL: redis.url,
      WORKER_LANES: 'cloud',
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
      HEYGEN_API_KEY: 'hunter2',
      HEYGEN_API_ENDPOINT: `${await startRejectingVendor()}/v1`,
    });
    const lines: Line[] = [];
    const writeAt =
      (level: string): Logger['info'] =>
      (fields, message) =>
        void lines.push({ level, fields, message });
    const logger: Logger = {
      debug: writeAt('debug'),
      info: writeAt('info'),
      warn: writeAt('warn'),
      error: writeAt('error'),
    };
    const worker = await startWorker(config, logger, new AbortController().signal);
    cleanUp(() => worker.stop());
    expect(lines).toContainEqual({
      level: 'warn',
      fields: {},
      message: expect.stringContaining('/v1, which is ignored'),
    });

    const connection = createClientConnection({ url: redis.url, onError: () => undefined });
    cleanUp(() => connection.disconnect());
    const store = new RedisJobStore({ connection });
    const producer = new LipsyncProducer({
      connection,
      store,
      clock: systemClock,
      logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    });
    cleanUp(() => producer.close());
    const artifacts = createArtifactStore(config.core);
    const put = async (name: string, ...source: readonly string[]) => {
      const path = join(folder, name);
      await promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', ...source, path]);
      const { key } = await artifacts.putInput(createReadStream(path), { maxBytes: 10_000_000 });
      return { kind: 'artifact', key, name } as const;
    };
    const video = await put('clip.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=160x120:r=25:d=1', '-pix_fmt', 'yuv420p');
    const audio = await put('speech.wav', '-f', 'lavfi', '-i', 'sine=frequency=300:duration=1');
    for (const id of ['job_a', 'job_b', 'job_c']) {
      await producer.submit(
        newJobRecord({
          id,
          video: id === 'job_c' ? audio : video,
          audio,
          options: lipsyncOptionsSchema.parse({ method: 'heygen' }),
          owner: null,
          nowMs: Date.now(),
          start: { plan: testPlan('heygen'), needs: 'remote' },
        }),
      );
      await expect.poll(async () => (await store.get(id))?.status, { timeout: 50_000 }).toBe('failed');
    }
    expect(lines.filter(({ level }) => level === 'error')).toEqual([
      {
        level: 'error',
        fields: { provider: 'heygen', event: 'opened', reason: 'refused', openUntil: expect.stringMatching(/Z$/) },
        message: 'circuit breaker opened: the provider rejected the key or has no credit',
      },
      {
        level: 'error',
        fields: {
          jobId: 'job_a',
          provider: 'heygen',
          code: 'credentials_rejected',
          reason: expect.stringContaining('HEYGEN_API_KEY'),
          alert: true,
        },
        message: expect.any(String),
      },
    ]);
    expect(lipsyncJob(await store.get('job_b')).attempts).toMatchObject([
      { provider: 'heygen', code: 'provider_unavailable' },
    ]);
    const job = { jobId: 'job_c', kind: 'lipsync', owner: null };
    expect(lines.filter(({ fields }) => 'jobId' in fields && fields.jobId === 'job_c')).toEqual([
      {
        level: 'info',
        fields: { ...job, provider: 'heygen', waitMs: expect.any(Number) },
        message: 'the job started',
      },
      {
        level: 'info',
        fields: {
          ...job,
          provider: null,
          status: 'failed',
          durationMs: expect.any(Number),
          costUsd: 0,
          code: 'clip_unusable',
          reason: expect.any(String),
        },
        message: 'the job did not complete',
      },
    ]);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  },
);
