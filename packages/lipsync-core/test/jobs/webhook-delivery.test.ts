import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import { expect, it, onTestFinished } from 'vitest';
import { GuardedClient, parseAllowedHosts } from '../../src/net/index.ts';
import { nextWebhookTryAtMs, toWebhookBody, WebhookSender } from '../../src/jobs/webhook-delivery.ts';

const secrets = [1, 2].map((seed) => `whsec_${Buffer.alloc(32, seed).toString('base64')}`);
const body = toWebhookBody({ type: 'lipsync.completed', timestamp: '2026-01-01T00:00:00Z', data: { id: 'job_ä' } });
const never = new AbortController().signal;

interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

async function startReceiver(status: number | null, headers: Record<string, string> = {}) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void text(request).then((sent) => {
      received.push({ headers: request.headers, body: sent });
      if (status !== null) response.writeHead(status, headers).end('ok');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => (server.closeAllConnections(), void server.close()));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, received };
}

function send(url: string, { allowed = ['127.0.0.1'], timeoutMs = 2_000 } = {}) {
  const client = new GuardedClient({ allowedPrivateHosts: parseAllowedHosts(allowed) });
  return new WebhookSender({ client, secrets, timeoutMs }).send({ id: 'msg_1', url, body }, Date.now(), never);
}

/** Independent of the package that signs. */
function isSigned({ headers, body: content }: Received, secret: string): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${content}`;
  const expected = `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
  return String(headers['webhook-signature']).split(' ').includes(expected);
}

it('A message is signed with both secrets, and the package and an independent check accept each.', async () => {
  const { url, received } = await startReceiver(204);
  expect(await send(url)).toEqual({ type: 'delivered', status: 204 });
  const [message] = received;
  if (!message) throw new Error('nothing received');
  for (const secret of secrets) {
    expect(isSigned(message, secret)).toBe(true);
    expect(new Webhook(secret).verify(message.body, message.headers as Record<string, string>)).toMatchObject({
      type: 'lipsync.completed',
    });
    expect(isSigned({ ...message, body: message.body.replace('job', 'jab') }, secret)).toBe(false);
  }
});

it('Only 2xx delivers a message, 410 ends it, and every other answer fails the try.', async () => {
  for (const [status, type] of [
    [200, 'delivered'],
    [410, 'refused'],
    [400, 'failed'],
    [500, 'failed'],
  ] as const)
    expect(await send((await startReceiver(status)).url)).toMatchObject({ type, status });
});

it('A redirect is not followed and fails the try.', async () => {
  const target = await startReceiver(200);
  const { url } = await startReceiver(307, { location: target.url });
  expect(await send(url)).toMatchObject({ type: 'failed', status: 307 });
  expect(target.received).toEqual([]);
});

it('A private address is refused at the delivery, and nothing is sent.', async () => {
  const { url, received } = await startReceiver(200);
  expect(await send(url, { allowed: [] })).toMatchObject({
    type: 'failed',
    reason: expect.stringContaining('private'),
  });
  expect(received).toEqual([]);
});

it('A receiver that hangs fails the try at the time limit.', async () => {
  const { url } = await startReceiver(null);
  expect(await send(url, { timeoutMs: 100 })).toMatchObject({ type: 'failed', status: null });
});

it('The tries follow the published schedule with at most 10 % more, and end after the tenth.', () => {
  let atMs = 0;
  const delaysS: number[] = [];
  for (let tries = 1, next: number | null; (next = nextWebhookTryAtMs(tries, atMs, 0)) !== null; tries += 1) {
    delaysS.push((next - atMs) / 1_000);
    atMs = next;
  }
  expect(delaysS).toEqual([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
  expect(nextWebhookTryAtMs(1, 0, 1)).toBe(5_500);
});
