import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createIdSource, systemClock, silentLogger } from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { Batches, createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startService, type ServiceProcess } from '../../../test/support/service-process.ts';

const root = join(import.meta.dirname, '..', '..', '..');

let redis: TestRedis;
let folder: string;
let connection: Redis;
let store: RedisJobStore;
let producer: LipsyncProducer;
let worker: ServiceProcess;
let files: Server;

beforeAll(async () => {
  redis = await startTestRedis();
  folder = await mkdtemp(join(tmpdir(), 'worker-batches-'));
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  store = new RedisJobStore({ connection });
  producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  const presenter = join(root, 'samples', 'presenter.mp4');
  const cut = ['-nostdin', '-v', 'error', '-t', '1', '-i', presenter, '-vf', 'scale=480:-2', '-preset', 'ultrafast'];
  await promisify(execFile)('ffmpeg', [...cut, join(folder, 'clip.mp4'), '-vn', join(folder, 'speech.wav')]);
  files = createServer(({ url = '' }, response) => {
    createReadStream(join(folder, url.slice(1)))
      .on('error', () => response.writeHead(404).end())
      .pipe(response);
  }).listen(0, '127.0.0.1');
  await once(files, 'listening');
  worker = startService('worker', { redisUrl: redis.url, folder });
  await worker.ready();
});
afterAll(async () => {
  await worker?.stop();
  files.close();
  await producer.close();
  connection.disconnect();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

it('A worker runs the items of a batch and ends the batch after the last one.', { timeout: 120_000 }, async () => {
  // `as`: the server listens on a port.
  const { port } = files.address() as AddressInfo;
  const input = (name: string) => ({ kind: 'url', url: `http://127.0.0.1:${port}/${name}` }) as const;
  const options = lipsyncOptionsSchema.parse({ method: 'preview' });
  const items = ['clip.mp4', 'missing.mp4', 'clip.mp4'].map((clip, index) => ({
    options,
    video: input(clip),
    audio: input('speech.wav'),
    outputName: `${index}.mp4`,
  }));
  const clock = systemClock;
  const batches = new Batches({
    store,
    producer,
    clock,
    ids: createIdSource(clock),
    logger: silentLogger,
    verifyRedis: async () => undefined,
  });
  const sender = { owner: null, traceparent: null, requestId: null };
  const { record } = await batches.submit({ ...sender, items, options: { metadata: {} } });
  await expect
    .poll(() => store.get(record.id), { timeout: 100_000, interval: 250 })
    .toMatchObject({ status: 'completed', result: { total: 3, success: 2, failed: 1, canceled: 0 } });
});
