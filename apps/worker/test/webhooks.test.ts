import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { webhookMessageSchemas } from '@lipsync/core/contract';
import { batchItemId, createIdSource, systemClock, silentLogger } from '@lipsync/core/host';
import { testJobRecord, testQualityRecord } from '@lipsync/core/testing';
import { Batches, createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { startService, type ServiceProcess } from '../../../test/support/service-process.ts';

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let redis: TestRedis;
let connection: Redis;
let store: RedisJobStore;
let folder: string;
beforeEach(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  store = new RedisJobStore({ connection });
  folder = await mkdtemp(join(tmpdir(), 'worker-webhooks-'));
});
afterEach(async () => {
  connection.disconnect();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

function startWorker(): ServiceProcess {
  const settings = {
    LIPSYNC_WEBHOOK_SECRETS: secret,
    PUBLIC_BASE_URL: 'https://lipsync.example',
    WORKER_LANES: 'cloud',
    QUEUE_LOCK_MS: '1000',
    QUEUE_STALLED_INTERVAL_MS: '500',
  };
  const worker = startService('worker', { redisUrl: redis.url, folder, settings });
  onTestFinished(() => worker.stop());
  return worker;
}

/** Answers with `statuses` in turn and then with the last one; null keeps a request without an answer. */
async function startReceiver(...statuses: readonly (number | null)[]) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const status = statuses[Math.min(received.length, statuses.length - 1)] ?? null;
      received.push({ headers: request.headers, body });
      if (status !== null) response.writeHead(status).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => (server.closeAllConnections(), void server.close()));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?token=1`, received };
}

/** Throws for a body that differs from the documented one. */
function parseMessage(body: string): void {
  const message = JSON.parse(body);
  const schemas: Readonly<Record<string, { parse(value: unknown): unknown } | undefined>> = webhookMessageSchemas;
  const schema = schemas[message.type];
  if (!schema) throw new Error(`The type ${message.type} is not documented.`);
  schema.parse(message);
}

function isSigned({ headers, body }: Received): boolean {
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
}

const idsOf = (received: readonly Received[]) => received.map(({ headers }) => headers['webhook-id']);
const wait = { timeout: 30_000, interval: 50 };

/** Ends jobs as workers do that are killed before anything is sent. */
async function endJobs(webhookUrl: string): Promise<void> {
  const result = { methodUsed: 'preview', degraded: true, cached: false, durationMs: 2_000, outputKey: 'x' } as const;
  const metadata = { title: 'Grüße' };
  await store.create(testJobRecord('job_done', 1_000, { webhookUrl, metadata }));
  await store.create(testJobRecord('job_failed', 1_000, { webhookUrl }));
  await store.create(testJobRecord('job_canceled', 1_000, { webhookUrl }));
  await store.create(testJobRecord('job_silent', 1_000));
  await store.create(testQualityRecord('quality_failed', 1_000, { webhookUrl }));
  for (const id of ['job_done', 'job_failed', 'quality_failed', 'job_silent'])
    await store.append(id, { type: 'run_started', atMs: 2_000 });
  const failure = { atMs: 3_000, code: 'clip_unusable', message: 'The clip has no face.', warnings: [] } as const;
  await store.append('job_done', { type: 'completed', run: 1, atMs: 3_000, result, warnings: [] });
  await store.append('job_silent', { type: 'completed', run: 1, atMs: 3_000, result, warnings: [] });
  await store.append('job_failed', { type: 'failed', run: 1, ...failure });
  await store.append('quality_failed', { type: 'failed', run: 1, ...failure });
  await store.append('job_canceled', { type: 'canceled', atMs: 3_000 });
}

it('The ends of jobs that were stored before a worker runs are each delivered once, signed.', async () => {
  const { url, received } = await startReceiver(204);
  await endJobs(url);
  startWorker();
  await vi.waitFor(() => expect(received).toHaveLength(4), wait);
  expect(received.every(isSigned)).toBe(true);
  expect(new Set(idsOf(received)).size).toBe(4);
  const messages = new Map(received.map(({ body }) => [JSON.parse(body).data.id, JSON.parse(body)]));
  for (const { body } of received) parseMessage(body);
  expect(messages.get('job_done')).toEqual({
    type: 'lipsync.completed',
    timestamp: '1970-01-01T00:00:03.000Z',
    data: expect.objectContaining({
      status: 'completed',
      duration: 2,
      output_url: 'https://lipsync.example/lipsync/job_done/output',
      metadata: { title: 'Grüße' },
    }),
  });
  expect(messages.get('job_failed')).toMatchObject({
    type: 'lipsync.failed',
    data: { error: { code: 'clip_unusable' }, output_url: null },
  });
  expect(messages.get('job_canceled')).toMatchObject({ type: 'lipsync.canceled', data: { status: 'canceled' } });
  expect(messages.get('quality_failed')).toMatchObject({ type: 'quality.failed', data: { status: 'failed' } });
  await vi.waitFor(async () => expect(await store.unfinished()).toEqual([]), wait);
  expect((await store.list({ kind: 'webhook', limit: 10 })).records).toMatchObject(
    Array.from({ length: 4 }, () => ({ status: 'completed', tries: [{ status: 204, reason: null }] })),
  );
  expect(await store.readOutbox(10)).toEqual([]);
});

it('A message whose worker is killed before the answer is sent again by another, with the same id.', async () => {
  const { url, received } = await startReceiver(null, 200);
  await store.create(testJobRecord('job_1', 1_000, { webhookUrl: url }));
  await store.append('job_1', { type: 'canceled', atMs: 3_000 });
  const killed = startWorker();
  await vi.waitFor(() => expect(received).toHaveLength(1), wait);
  await killed.stop();
  startWorker();
  await vi.waitFor(async () => expect(await store.unfinished()).toEqual([]), wait);
  expect(received).toHaveLength(2);
  expect(new Set(idsOf(received)).size).toBe(1);
  expect(received.every(isSigned)).toBe(true);
});

it('A message that fails is tried again about 5 s later, and the log of tries states why.', async () => {
  const { url, received } = await startReceiver(500, 200);
  await store.create(testJobRecord('job_1', 1_000, { webhookUrl: url }));
  await store.append('job_1', { type: 'canceled', atMs: 3_000 });
  startWorker();
  await vi.waitFor(async () => {
    const [delivery] = (await store.list({ kind: 'webhook', limit: 1 })).records;
    expect(delivery).toMatchObject({
      status: 'completed',
      tries: [
        { status: 500, reason: 'The receiver answered 500.' },
        { status: 200, reason: null },
      ],
    });
  }, wait);
  expect(new Set(idsOf(received)).size).toBe(1);
  const [first = 0, second = 0] = received.map(({ headers }) => Number(headers['webhook-timestamp']));
  expect(second - first).toBeGreaterThanOrEqual(5);
});

it('A batch gets one message when its last job has ended, and its items get none.', async () => {
  const { url, received } = await startReceiver(200);
  const producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  onTestFinished(() => producer.close());
  const batches = new Batches({
    store,
    producer,
    clock: systemClock,
    logger: silentLogger,
    ids: createIdSource(systemClock),
    verifyRedis: async () => undefined,
  });
  const { options, video, audio } = testJobRecord('job_1').spec;
  const items = ['a.mp4', 'b.mp4'].map((outputName) => ({ options, video, audio, outputName }));
  const sender = { owner: null, traceparent: null, requestId: null };
  const { record } = await batches.submit({ ...sender, items, options: { metadata: { n: 1 }, webhookUrl: url } });
  for (const item of [0, 1]) await store.append(batchItemId(record.id, item), { type: 'canceled', atMs: 3_000 });
  startWorker();
  await vi.waitFor(() => expect(received).not.toEqual([]), wait);
  await vi.waitFor(async () => expect(await store.unfinished()).toEqual([]), wait);
  expect(received).toHaveLength(1);
  parseMessage(received[0]?.body ?? '');
  expect(JSON.parse(received[0]?.body ?? '')).toMatchObject({
    type: 'batch.completed',
    data: { id: record.id, summary: { total: 2, success: 0, failed: 0, canceled: 2 }, metadata: { n: 1 } },
  });
});

it('A message that waits for its next try is sent at once when it is replayed.', async () => {
  const { url, received } = await startReceiver(500, 500, 200);
  await store.create(testJobRecord('job_1', 1_000, { webhookUrl: url }));
  await store.append('job_1', { type: 'canceled', atMs: 3_000 });
  startWorker();
  // After the second try the next one is five minutes later.
  await vi.waitFor(() => expect(received).toHaveLength(2), wait);
  const producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  onTestFinished(() => producer.close());
  await store.append('msg_job_1_0', { type: 'replayed', atMs: Date.now() });
  await producer.wake('msg_job_1_0');
  await vi.waitFor(async () => expect(await store.unfinished()).toEqual([]), wait);
  expect(received).toHaveLength(3);
});
