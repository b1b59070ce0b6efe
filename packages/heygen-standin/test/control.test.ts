import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { useStandin } from './standin-fixture.ts';

const heygen = useStandin({ webhookSecret: 'whsec_test' });

beforeEach(async () => heygen.standin.control.reset());

const control = (method: string, path: string, body?: unknown): Promise<Response> =>
  fetch(`${heygen.standin.url}/standin/${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
const read = async (path: string): Promise<unknown> => (await control('GET', path)).json();

describe('control over HTTP', () => {
  it('Faults are scripted in snake_case and report how often they applied.', async () => {
    const rule = {
      match: { route: 'create', callback_id: 'job-7' },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retry_after_s: 1 },
      times: 1,
    };
    expect((await control('POST', 'faults', [rule])).status).toBe(200);
    const response = await heygen.call('POST', '/v3/lipsyncs', await heygen.body({ callback_id: 'job-7' }));
    expect([response.status, response.headers.get('Retry-After')]).toEqual([429, '1']);
    expect(await read('faults')).toMatchObject([{ match: { callback_id: 'job-7' }, fitted: 1, struck: 1 }]);
    expect(await (await control('DELETE', 'faults')).json()).toEqual([]);
  });

  it.each([
    ['faults', { match: { route: 'me' }, fault: { kind: 'truncate' } }],
    ['faults', { match: { route: 'nowhere' }, fault: { kind: 'drop' } }],
    ['settings', { timescale: 0 }],
    ['settings', { unknown: 1 }],
    ['wallet', { balance_micros: '1' }],
  ])('An invalid control request is refused: %s %j', async (path, body) => {
    const response = await control('POST', path, body);
    expect([response.status, await heygen.error(response)]).toEqual([
      400,
      expect.objectContaining({ code: 'invalid_parameter' }),
    ]);
  });

  it('The control returns wallet, operations, log and leaks.', async () => {
    await control('POST', 'wallet', { balance_micros: 500_000 });
    const { id } = await heygen.finished();
    expect(await read('wallet')).toMatchObject({
      balance_micros: 443_390,
      spent_micros: 56_610,
      charges: [{ lipsync_id: id, amount_micros: 56_610 }],
    });
    expect(await read('operations')).toMatchObject({
      running_now: 0,
      most_at_once: 1,
      operations: [{ lipsync_id: id, status: 'completed', duration_ms: 1_700 }],
    });
    expect(await read('log')).toMatchObject([
      { route: 'upload' },
      { route: 'upload' },
      { route: 'create', has_api_key: true },
      { route: 'get', status: 200 },
    ]);
    expect(await read('leaks')).toEqual([]);
  });

  it('A changed pace applies to existing jobs.', async () => {
    await control('POST', 'settings', { pace: { by: 'clock', pending_ms: 3_600_000, running_ms: 3_600_000 } });
    const id = await heygen.create();
    expect(await heygen.read(id)).toMatchObject({ status: 'pending' });
    await control('POST', 'settings', { timescale: 1e9 });
    await expect.poll(async () => (await heygen.read(id))['status'], { timeout: 10_000 }).toBe('completed');
  });

  it('A release lets stuck jobs complete, and a reset forgets everything.', async () => {
    await control('POST', 'faults', { match: { route: 'create' }, fault: { kind: 'stick' } });
    const id = await heygen.create();
    expect(await read('operations')).toMatchObject({ running_now: 1, operations: [{ lipsync_id: id }] });
    await control('POST', 'release', { lipsync_id: id });
    expect(await heygen.read(id)).toMatchObject({ status: 'completed' });
    await control('POST', 'reset');
    expect(await read('operations')).toEqual({ operations: [], running_now: 0, most_at_once: 0 });
    expect((await heygen.call('GET', `/v3/lipsyncs/${id}`)).status).toBe(404);
  });

  it('A request from a web page is refused.', async () => {
    expect(
      (await fetch(`${heygen.standin.url}/standin/wallet`, { headers: { Origin: 'https://example.org' } })).status,
    ).toBe(403);
  });
});

describe('webhooks', () => {
  const received: { headers: IncomingHttpHeaders; body: string }[] = [];
  let receiver: Server;
  let callbackUrl: string;
  beforeAll(async () => {
    receiver = createServer((request, response) => {
      void text(request).then((body) => {
        received.push({ headers: request.headers, body });
        response.writeHead(204).end();
      });
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const address = receiver.address();
    callbackUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/hook`;
  });
  beforeEach(() => void (received.length = 0));
  afterAll(() => receiver.close());

  it('A signed event is sent when a job ends, with the configured delay and duplicates.', async () => {
    const { control: standinControl } = heygen.standin;
    standinControl.changeSettings({ webhookDuplicates: 1, webhookDelayMs: 150 });
    const id = await heygen.create({ callback_url: callbackUrl, callback_id: 'job-7' });
    await heygen.read(id);
    expect(received).toEqual([]);
    await expect.poll(() => standinControl.webhooks().length).toBe(2);
    const [{ headers, body }, duplicate] = received as [(typeof received)[number], (typeof received)[number]];
    expect(JSON.parse(body)).toEqual({
      event_type: 'video_translate.success',
      event_data: { video_translate_id: id, callback_id: 'job-7', url: expect.any(String) },
    });
    expect(headers['heygen-signature']).toBe(createHmac('sha256', 'whsec_test').update(body).digest('hex'));
    expect(headers['heygen-timestamp']).toMatch(/^\d{10}$/);
    expect(duplicate.headers['heygen-event-id']).toBe(headers['heygen-event-id']);
    expect(standinControl.webhooks()).toMatchObject([
      { lipsyncId: id, status: 204 },
      { lipsyncId: id, status: 204 },
    ]);
  });

  it('A failure event has the configured prefix and is sent again on demand.', async () => {
    const { control: standinControl } = heygen.standin;
    standinControl.changeSettings({ webhookEventPrefix: 'lipsync' });
    const id = await heygen.create({ callback_url: callbackUrl }, heygen.media.silentClip);
    await heygen.read(id);
    await expect.poll(() => standinControl.webhooks().length).toBe(1);
    expect(JSON.parse(received[0]?.body ?? '')).toMatchObject({
      event_type: 'lipsync.fail',
      event_data: { message: expect.stringMatching(/audio/) },
    });
    await control('POST', 'webhooks', { lipsync_id: id });
    expect(received).toHaveLength(2);
  });

  it('Webhooks are sent to this machine only.', async () => {
    const id = await heygen.create({ callback_url: 'http://192.0.2.1/hook' });
    await heygen.read(id);
    await heygen.standin.control.sendWebhook(id);
    expect(heygen.standin.control.webhooks()).toEqual([]);
  });
});
