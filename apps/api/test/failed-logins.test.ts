import { afterAll, beforeAll, expect, it } from 'vitest';
import { apiConfigFromEnvironment } from '../src/config.ts';
import { json, startApi, type RunningApi } from './running-api.ts';

const secrets = { alice: 'the-secret-of-alice', bob: 'the-secret-of-bob' };
const wrong = 'a-secret-of-no-key';
const settings = {
  LIPSYNC_API_KEYS: `alice:${secrets.alice},bob:${secrets.bob}`,
  LIPSYNC_MAX_FAILED_LOGINS_PER_MINUTE: '3',
};

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({}, { ...settings, LIPSYNC_TRUSTED_PROXIES: '127.0.0.0/8' });
});
afterAll(() => api.close());

function login(secret: string | undefined, address: string, { path = '/lipsync', url = api.url } = {}) {
  const headers = { 'X-Forwarded-For': address, ...(secret !== undefined && { Authorization: `Bearer ${secret}` }) };
  return fetch(`${url}${path}`, { headers });
}

async function statuses(count: number, call: (index: number) => Promise<Response>): Promise<readonly number[]> {
  const found: number[] = [];
  for (let index = 0; index < count; index += 1) found.push((await call(index)).status);
  return found;
}

it('All API processes together refuse an address that sent too many unknown keys, and no other address.', async () => {
  const other = await api.another();
  await using _ = { [Symbol.asyncDispose]: other.stop };
  expect(await statuses(1, () => login(secrets.alice, '203.0.113.1'))).toEqual([200]);
  const urls = [api.url, other.url];
  const guess = (index: number) => login(`${wrong}-${index}`, '203.0.113.1', { url: urls[index % 2] });
  expect(await statuses(5, guess)).toEqual([401, 401, 401, 429, 429]);
  const refused = await login(secrets.bob, '203.0.113.1');
  expect(await json(refused)).toMatchObject({ status: 429, code: 'too_many_requests', retryable: true });
  expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0);
  // A key that the address has used before is no guess.
  expect((await login(secrets.alice, '203.0.113.1')).status).toBe(200);
  expect((await login(secrets.bob, '203.0.113.2')).status).toBe(200);
});

it('Failed logins of the pages for browsers and of GET /ready count too, and GET /ready still answers.', async () => {
  const address = '203.0.113.3';
  const basic = { 'X-Forwarded-For': address, Authorization: `Basic ${btoa(`x:${wrong}`)}` };
  expect((await api.fetch('/admin/queues', { headers: basic })).status).toBe(401);
  expect(await statuses(4, () => login(wrong, address, { path: '/ready' }))).toEqual([200, 200, 200, 200]);
  expect((await login(wrong, address)).status).toBe(429);
  const ready = await login(secrets.alice, address, { path: '/ready' });
  expect([await json(ready), ready.headers.get('Retry-After')]).toEqual([{ status: 'ready' }, null]);
});

it('Requests without a key do not count as failed logins.', async () => {
  expect(await statuses(6, () => login(undefined, '203.0.113.4'))).toEqual(Array(6).fill(401));
  expect((await login(secrets.alice, '203.0.113.4')).status).toBe(200);
});

it('The addresses of one IPv6 network count together, and so do spellings of an IPv4 address.', async () => {
  const networks = ['2001:db8:0:1::1', '2001:db8:0:2::2', '2001:db8::3', '2001:db8:0:ff::4'];
  expect(await statuses(4, (index) => login(wrong, networks[index] ?? ''))).toEqual([401, 401, 401, 429]);
  expect((await login(wrong, '2001:db8:1::1')).status).toBe(401);
  const spellings = ['203.0.113.5', '::ffff:203.0.113.5', '198.51.100.9, 203.0.113.5', '203.0.113.5, 127.0.0.9'];
  expect(await statuses(4, (index) => login(wrong, spellings[index] ?? ''))).toEqual([401, 401, 401, 429]);
});

it('Without trusted proxies X-Forwarded-For changes nothing.', async () => {
  const untrusting = await startApi({}, settings);
  await using _ = { [Symbol.asyncDispose]: () => untrusting.close() };
  const guess = (index: number) => login(wrong, `203.0.113.${index}`, { url: untrusting.url });
  expect(await statuses(4, guess)).toEqual([401, 401, 401, 429]);
});

it('A limit of 0 failed logins is none.', async () => {
  const unlimited = await startApi({}, { ...settings, LIPSYNC_MAX_FAILED_LOGINS_PER_MINUTE: '0' });
  await using _ = { [Symbol.asyncDispose]: () => unlimited.close() };
  expect(await statuses(6, () => login(wrong, '', { url: unlimited.url }))).toEqual(Array(6).fill(401));
});

it.each(['proxy.example.org', '10.0.0.0/33', '10.0.0.0/', '2001:db8::/129', 'true', '1'])(
  'The trusted proxy %j is refused at start.',
  (LIPSYNC_TRUSTED_PROXIES) => {
    expect(() => apiConfigFromEnvironment({ LIPSYNC_TRUSTED_PROXIES })).toThrow('LIPSYNC_TRUSTED_PROXIES');
  },
);
