import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { JobRunner } from '../../src/jobs/job-runner.ts';
import { isTerminal, requireKind, type JobRecord } from '../../src/jobs/job-record.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import { ReceiverSwitches } from '../../src/jobs/receiver-switches.ts';
import { WebhookSender } from '../../src/jobs/webhook-delivery.ts';
import { WebhookHandler } from '../../src/jobs/webhook-handler.ts';
import { newWebhookRecord } from '../../src/jobs/webhook-record.ts';
import { GuardedClient, parseAllowedHosts } from '../../src/net/index.ts';
import { createMemoryJobStore } from '../../src/testing/memory-job-store.ts';
import { createMemoryState } from '../../src/testing/index.ts';

const secret = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const notRun = () => Promise.reject(new Error('A delivery has no inputs.'));

/** How a receiver answers a request: a status with headers, after a delay; null never answers. */
type Answer = { readonly status: number; readonly headers?: Record<string, string>; readonly afterMs?: number } | null;

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let nowMs: number;
let store: JobStore;
let receivers: ReceiverSwitches;
beforeEach(() => {
  nowMs = Date.UTC(2026, 0, 1);
  store = createMemoryJobStore();
  receivers = new ReceiverSwitches({ state: createMemoryState().open() });
});

/** Answers with `answers` in turn and then with the last one. */
async function startReceiver(...answers: readonly Answer[]) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const answer = answers[Math.min(received.length, answers.length - 1)];
      received.push({ headers: request.headers, body });
      if (answer) setTimeout(() => response.writeHead(answer.status, answer.headers).end('ok'), answer.afterMs ?? 0);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => (server.closeAllConnections(), void server.close()));
  return { url: `http://receiver.example:${(server.address() as AddressInfo).port}/hook`, received };
}

const clock = { nowMs: () => nowMs };

function createRunner(workFolder: string, webhook: WebhookHandler): JobRunner {
  return new JobRunner({
    store,
    inputs: { fetch: notRun },
    handlers: { webhook },
    workFolder,
    cancelPollMs: 60_000,
    progressIntervalMs: 0,
    clock,
    logger: silent,
    checkStorage: async () => undefined,
  });
}

const context = () => ({ signal: new AbortController().signal, canRun: (work: string) => work === 'deliver' });

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'webhook-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Runs a delivery until it ends, and moves the clock whenever it waits. Returns the waits in seconds. The name of the
 * receiver resolves to `addresses` in turn and then to the last one.
 */
async function deliver(id: string, addresses: readonly string[] = ['127.0.0.1']) {
  const workFolder = await temporaryFolder();
  let lookups = 0;
  const client = new GuardedClient({
    allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
    resolveHost: async () => {
      const address = addresses[Math.min(lookups, addresses.length - 1)] ?? '';
      lookups += 1;
      return [{ address, family: 4 }];
    },
  });
  const sender = new WebhookSender({ client, secrets: [secret], timeoutMs: 300 });
  const runner = createRunner(workFolder, new WebhookHandler({ sender, receivers, clock, random: () => 0 }));
  const waitsS: number[] = [];
  for (;;) {
    const record = await runner.run(id, context());
    if (isTerminal(record.status)) return { record: requireKind(record, 'webhook'), waitsS };
    if (record.parkedUntilMs === null) throw new Error(`The delivery neither waits nor has ended: ${record.stage}`);
    waitsS.push((record.parkedUntilMs - nowMs) / 1_000);
    nowMs = record.parkedUntilMs;
  }
}

async function createDelivery(url: string, id = 'msg_job_1_0', owner = 'alice'): Promise<JobRecord<'webhook'>> {
  const body = JSON.stringify({ type: 'lipsync.completed', timestamp: '2026-01-01T00:00:00Z', data: { id: 'job_1' } });
  const record = newWebhookRecord({ id, owner, nowMs, url, event: 'lipsync.completed', subjectId: 'job_1', body });
  await store.create(record);
  return record;
}

const scheduleS = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

it('A receiver that always fails gets ten tries of one message on the published schedule, then the delivery fails.', async () => {
  const { url, received } = await startReceiver({ status: 500 });
  const { id } = await createDelivery(url);
  const { record, waitsS } = await deliver(id);
  expect(waitsS).toEqual(scheduleS);
  expect(record).toMatchObject({ status: 'failed', error: { code: 'webhook_failed' } });
  expect(record.tries.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 500));
  expect(received.map(({ headers }) => headers['webhook-id'])).toEqual(Array.from({ length: 10 }, () => id));
  const sentAtS = received.map(({ headers }) => Number(headers['webhook-timestamp']));
  expect(sentAtS.slice(1).map((atS, index) => atS - (sentAtS[index] ?? 0))).toEqual(scheduleS);
});

it('A receiver that hangs, then redirects, then answers slowly gets the message at the third try.', async () => {
  const { url, received } = await startReceiver(
    null,
    { status: 302, headers: { location: 'http://10.0.0.1/' } },
    { status: 202, afterMs: 100 },
  );
  await createDelivery(url);
  const { record, waitsS } = await deliver('msg_job_1_0');
  expect(waitsS).toEqual([5, 300]);
  expect(record).toMatchObject({
    status: 'completed',
    tries: [
      { status: null, reason: 'The server exceeded the time limit.' },
      { status: 302, reason: 'The receiver answered 302.' },
      { status: 202, reason: null },
    ],
  });
  expect(received).toHaveLength(3);
});

it('Every try has a signature of its own, so that a receiver accepts the last one although the event is days old.', async () => {
  const failures = Array.from({ length: 9 }, () => ({ status: 503 }));
  const { url, received } = await startReceiver(...failures, { status: 200 });
  await createDelivery(url);
  const { record } = await deliver('msg_job_1_0');
  expect(record.status).toBe('completed');
  const last = received.at(-1);
  expect(new Set(received.map(({ headers }) => headers['webhook-signature'])).size).toBe(10);
  // The package compares the time of the message with the clock of the system, so only the signature is checked.
  const signed = new Webhook(secret).sign('msg_job_1_0', new Date(nowMs), last?.body ?? '');
  expect(last?.headers['webhook-signature']).toBe(signed);
});

it('A Retry-After that is later than the schedule delays the next try, up to a day.', async () => {
  const { url } = await startReceiver(
    { status: 429, headers: { 'retry-after': '60' } },
    { status: 503, headers: { 'retry-after': 'Thu, 01 Jan 2026 02:01:00 GMT' } },
    { status: 502, headers: { 'retry-after': '999999' } },
    { status: 504, headers: { 'retry-after': 'soon' } },
    { status: 200 },
  );
  await createDelivery(url);
  const { waitsS } = await deliver('msg_job_1_0');
  expect(waitsS).toEqual([60, 7_200, 86_400, 7_200]);
});

it('A name that later resolves to a private address fails that try, and nothing is sent there.', async () => {
  const { url, received } = await startReceiver({ status: 500 }, { status: 200 });
  await createDelivery(url);
  const { record, waitsS } = await deliver('msg_job_1_0', ['127.0.0.1', '10.0.0.8', '127.0.0.1']);
  expect(waitsS).toEqual([5, 300]);
  expect(record.tries).toMatchObject([{ status: 500 }, { status: null }, { status: 200 }]);
  expect(record.tries[1]?.reason).toMatch(/private or reserved address/);
  expect(received).toHaveLength(2);
});

it('A receiver that answers 410 is switched off for its API key until it accepts a replayed message.', async () => {
  const { url, received } = await startReceiver({ status: 410 }, { status: 200 });
  await createDelivery(url, 'msg_job_1_0');
  await createDelivery(url, 'msg_job_2_0');
  await createDelivery(url, 'msg_job_3_0', 'bob');
  const refused = await deliver('msg_job_1_0');
  expect(refused).toMatchObject({ waitsS: [], record: { status: 'failed', tries: [{ status: 410 }] } });
  const skipped = await deliver('msg_job_2_0');
  expect(skipped.record).toMatchObject({ status: 'failed', tries: [{ status: null }] });
  expect(skipped.record.tries[0]?.reason).toContain('switched off');
  expect(received).toHaveLength(1);
  expect((await deliver('msg_job_3_0')).record.status).toBe('completed');

  await store.append('msg_job_2_0', { type: 'replayed', atMs: nowMs });
  expect((await deliver('msg_job_2_0')).record).toMatchObject({
    status: 'completed',
    tries: [{ status: null }, { status: 200 }],
  });
  await createDelivery(url, 'msg_job_4_0');
  expect((await deliver('msg_job_4_0')).record.status).toBe('completed');
  expect(received).toHaveLength(4);
});

it('Receivers that are off are listed page by page with their origin only, for one key or all, and can be switched on.', async () => {
  const { url, received } = await startReceiver({ status: 410 }, { status: 410 }, { status: 410 }, { status: 200 });
  for (const [index, owner] of ['alice', 'bob', 'alice'].entries()) {
    await createDelivery(`${url}/user-${index}?token=secret`, `msg_job_${index}_0`, owner);
    await deliver(`msg_job_${index}_0`);
  }
  expect((await receivers.list({ limit: 10 })).receivers).toHaveLength(3);
  const first = await receivers.list({ owner: 'alice', limit: 1 });
  const rest = await receivers.list({ owner: 'alice', limit: 1, after: first.nextCursor ?? '' });
  const listed = [...first.receivers, ...rest.receivers];
  expect(new Set(listed.map(({ deliveryId }) => deliveryId))).toEqual(new Set(['msg_job_0_0', 'msg_job_2_0']));
  expect(listed[0]).toMatchObject({ owner: 'alice', origin: new URL(url).origin, offSinceMs: nowMs });
  expect(JSON.stringify(listed)).not.toMatch(/user-|secret/);
  await expect(receivers.list({ limit: 1, after: 'x y' })).rejects.toMatchObject({ name: 'InvalidCursorError' });

  const id = listed.find(({ deliveryId }) => deliveryId === 'msg_job_0_0')?.id ?? '';
  await receivers.switchOnById(id);
  expect(await receivers.find(id)).toBeUndefined();
  await createDelivery(`${url}/user-0?token=secret`, 'msg_job_9_0');
  expect((await deliver('msg_job_9_0')).record.status).toBe('completed');
  expect(received).toHaveLength(4);
});

it('A message about progress is sent once, is dropped when it is a minute old, and can be replayed.', async () => {
  const { url, received } = await startReceiver({ status: 500 });
  const about = { url, event: 'lipsync.progress', subjectId: 'job_1', body: '{}', owner: 'alice' };
  for (const id of ['msg_job_1_p1', 'msg_job_1_p2']) await store.create(newWebhookRecord({ ...about, id, nowMs }));
  expect(await deliver('msg_job_1_p1')).toMatchObject({
    waitsS: [],
    record: { status: 'failed', tries: [{ status: 500 }] },
  });
  nowMs += 61_000;
  expect(await deliver('msg_job_1_p2')).toMatchObject({ record: { status: 'failed', tries: [] } });
  expect(received).toHaveLength(1);
  await store.append('msg_job_1_p2', { type: 'replayed', atMs: nowMs });
  expect((await deliver('msg_job_1_p2')).record.tries).toMatchObject([{ status: 500 }]);
});

it('A replay of a delivered message sends it once more with the same id, and starts the schedule again.', async () => {
  const { url, received } = await startReceiver({ status: 200 }, { status: 500 }, { status: 200 });
  await createDelivery(url);
  await deliver('msg_job_1_0');
  await store.append('msg_job_1_0', { type: 'replayed', atMs: nowMs });
  const { record, waitsS } = await deliver('msg_job_1_0');
  expect(waitsS).toEqual([5]);
  expect(record).toMatchObject({ status: 'completed', error: null });
  expect(record.tries.map(({ status }) => status)).toEqual([200, 500, 200]);
  expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});

it('A message that is replayed during a try that then fails is sent again at once.', async () => {
  const { url, received } = await startReceiver({ status: 500, afterMs: 200 }, { status: 200 });
  const { id } = await createDelivery(url);
  const delivery = deliver(id);
  await vi.waitFor(() => expect(received).toHaveLength(1), { timeout: 10_000 });
  await store.append(id, { type: 'replayed', atMs: nowMs });
  expect(await delivery).toMatchObject({ record: { status: 'completed' }, waitsS: [0] });
  expect(received).toHaveLength(2);
});

it('A try that is stored although its worker was killed then is not made again.', async () => {
  const { url, received } = await startReceiver({ status: 200 });
  await createDelivery(url);
  await store.append('msg_job_1_0', { type: 'run_started', atMs: nowMs });
  const attempt = { atMs: nowMs, status: 200, reason: null };
  await store.append('msg_job_1_0', { type: 'webhook_tried', run: 1, attempt, replays: 0, nextTryAtMs: null });
  expect((await deliver('msg_job_1_0')).record).toMatchObject({ status: 'completed', tries: [attempt] });
  expect(received).toEqual([]);
});

it('A delivery survives the death of its worker in every one of its tries.', async () => {
  const { url } = await startReceiver({ status: 200 });
  await createDelivery(url);
  for (let tries = 1; tries <= 8; tries += 1) {
    const { runs: run } = await store.append('msg_job_1_0', { type: 'run_started', atMs: nowMs });
    const attempt = { atMs: nowMs, status: 500, reason: 'The receiver answered 500.' };
    await store.append('msg_job_1_0', { type: 'webhook_tried', run, attempt, replays: 0, nextTryAtMs: nowMs });
  }
  expect((await deliver('msg_job_1_0')).record.status).toBe('completed');
});

it('Receivers of one key that never answer do not keep messages of another key from being sent, and those that wait come back less often.', async () => {
  let isHanging = true;
  const hanging = Promise.withResolvers<void>();
  const sent: string[] = [];
  const sender: Pick<WebhookSender, 'send'> = {
    async send({ id }) {
      sent.push(id);
      if (isHanging && id.startsWith('msg_job_a')) await hanging.promise;
      return { type: 'delivered', status: 200 };
    },
  };
  const runner = createRunner(
    await temporaryFolder(),
    new WebhookHandler({ sender, receivers, clock, maxPerKey: 2, random: () => 0 }),
  );
  const ids = ['msg_job_a1_0', 'msg_job_a2_0', 'msg_job_a3_0'];
  for (const id of ids) await createDelivery('http://receiver.example/', id, 'alice');
  await createDelivery('http://receiver.example/', 'msg_job_b_0', 'bob');
  const running = ids.slice(0, 2).map((id) => runner.run(id, context()));
  await vi.waitFor(() => expect(sent).toHaveLength(2), { timeout: 10_000 });
  const waiting = requireKind(await runner.run('msg_job_a3_0', context()), 'webhook');
  expect(waiting).toMatchObject({ tries: [], parkedUntilMs: nowMs + 3_000, nextTryAtMs: nowMs + 3_000 });
  expect((await runner.run('msg_job_b_0', context())).status).toBe('completed');
  nowMs += 40_000;
  expect(await runner.run('msg_job_a3_0', context())).toMatchObject({ parkedUntilMs: nowMs + 10_000 });
  isHanging = false;
  hanging.resolve();
  await Promise.all(running);
  nowMs += 10_000;
  expect((await runner.run('msg_job_a3_0', context())).status).toBe('completed');
});

it('A delivery neither fails nor is sent while the state of its receiver cannot be read.', async () => {
  const { url, received } = await startReceiver({ status: 200 });
  await createDelivery(url);
  const isOff = () => Promise.reject(new LipsyncError('resource_exhausted', 'Redis is down.'));
  const sender = new WebhookSender({ client: new GuardedClient(), secrets: [secret] });
  const broken = new WebhookHandler({ sender, receivers: { isOff, switchOff: isOff, switchOn: isOff }, clock });
  const runner = createRunner(await temporaryFolder(), broken);
  await expect(runner.run('msg_job_1_0', context())).rejects.toThrow('Redis is down.');
  expect(await store.get('msg_job_1_0')).toMatchObject({ status: 'queued', tries: [] });
  expect(received).toEqual([]);
  expect((await deliver('msg_job_1_0')).record.status).toBe('completed');
});

it('A delivery that waits until files can be stored is due no earlier, so that nothing wakes it meanwhile.', async () => {
  const { id } = await createDelivery('http://receiver.example/');
  const { runs: run } = await store.append(id, { type: 'run_started', atMs: nowMs });
  const untilMs = nowMs + 10_000;
  const parked = await store.append(id, {
    type: 'parked',
    run,
    untilMs,
    message: 'The disk is full.',
    waitsForStorage: true,
  });
  expect(parked).toMatchObject({ parkedUntilMs: untilMs, nextTryAtMs: untilMs });
});
