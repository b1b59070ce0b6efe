import { createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { verifyWebhook } from '../src/webhooks.ts';

const secret = `whsec_${Buffer.from('0123456789abcdef01234567').toString('base64')}`;
const otherSecret = `whsec_${Buffer.from('another secret of a test').toString('base64')}`;
const event = { type: 'lipsync.completed', timestamp: '2026-11-28T12:00:00Z', data: { id: 'job_1' } };

const noData = JSON.stringify({ ...event, data: null });

/** The headers of a webhook request, signed as Standard Webhooks describes. */
function sign(body: string, { ageS = 0, key = secret } = {}): Record<string, string> {
  const timestamp = String(Math.floor(Date.now() / 1000) - ageS);
  const mac = createHmac('sha256', Buffer.from(key.slice('whsec_'.length), 'base64'));
  const signature = mac.update(`evt_1.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': 'evt_1', 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

it('A signed webhook is verified with either of two secrets, from a plain object, Headers and bytes.', () => {
  const body = JSON.stringify(event);
  const expected = { id: 'evt_1', ...event };
  expect(verifyWebhook({ body, headers: sign(body), secrets: [otherSecret, secret] })).toEqual(expected);
  const bytes = new TextEncoder().encode(body);
  expect(verifyWebhook({ body: bytes, headers: new Headers(sign(body)), secrets: [secret] })).toEqual(expected);
});

it('The type of a verified webhook decides the type of its data.', () => {
  const body = JSON.stringify({ ...event, type: 'batch.completed', data: { id: 'batch_1', summary: { success: 2 } } });
  const received = verifyWebhook({ body, headers: sign(body), secrets: [secret] });
  // Compiles because of the type only.
  expect(received.type === 'batch.completed' && received.data.summary.success).toBe(2);
  // @ts-expect-error -- only a lip-sync job has it
  expect(received.data.method_used).toBeUndefined();
});

it.each([
  ['a changed body', `${JSON.stringify(event)} `, sign(JSON.stringify(event))],
  ['an old request', JSON.stringify(event), sign(JSON.stringify(event), { ageS: 301 })],
  ['another secret', JSON.stringify(event), sign(JSON.stringify(event), { key: otherSecret })],
  ['no headers', JSON.stringify(event), {}],
  ['a signed body that is no JSON', 'text', sign('text')],
  ['a signed body that is no event', '[]', sign('[]')],
  ['a signed event without data', noData, sign(noData)],
])('A webhook with %s is refused.', (_name, body, headers) => {
  expect(() => verifyWebhook({ body, headers, secrets: [secret] })).toThrow(
    expect.objectContaining({ code: 'webhook_invalid' }),
  );
});
