import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiConfigFromEnvironment } from '../src/config.ts';
import { form, startApi, type RunningApi } from './running-api.ts';

const page = 'https://app.example.org';
const key = 'a-secret-of-alice';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi(
    {},
    { LIPSYNC_API_KEYS: `alice:${key}`, LIPSYNC_CORS_ORIGINS: `${page}, http://127.0.0.1:5173/` },
  );
});
afterAll(() => api.close());

function preflight(path: string, origin: string): Promise<Response> {
  return api.fetch(path, {
    method: 'OPTIONS',
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,idempotency-key',
    },
  });
}

function listIn(response: Response, header: string): readonly string[] {
  return (response.headers.get(header) ?? '').split(',').map((name) => name.trim());
}

describe('calls from a browser', () => {
  it('A preflight request of a listed origin needs no key and allows the headers of the API.', async () => {
    const response = await preflight('/lipsync', page);
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe(page);
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    expect(listIn(response, 'access-control-allow-headers')).toEqual(
      expect.arrayContaining(['Authorization', 'Idempotency-Key']),
    );
    expect(listIn(response, 'access-control-allow-methods')).toEqual(expect.arrayContaining(['POST', 'DELETE']));
  });

  it('A page of a listed origin may read responses and their headers, also those of errors.', async () => {
    const headers = { Origin: page, Authorization: `Bearer ${key}` };
    const created = await api.fetch('/lipsync', { method: 'POST', headers, body: form() });
    const refused = await api.fetch('/lipsync', { headers: { Origin: page } });
    expect([created.status, refused.status]).toEqual([202, 401]);
    for (const response of [created, refused]) {
      expect(response.headers.get('access-control-allow-origin')).toBe(page);
      expect(response.headers.get('vary')).toContain('Origin');
      expect(listIn(response, 'access-control-expose-headers')).toEqual(
        expect.arrayContaining(['Location', 'Retry-After', 'Idempotent-Replayed', 'X-Request-Id']),
      );
    }
  });

  it.each(['https://evil.example', 'http://app.example.org', 'https://app.example.org.evil.example', 'null'])(
    'A page of %s may not.',
    async (origin) => {
      for (const response of [
        await preflight('/lipsync', origin),
        await api.fetch('/health', { headers: { Origin: origin } }),
      ])
        expect(response.headers.get('access-control-allow-origin')).toBeNull();
    },
  );
});

it('By default no page of another origin may read a response.', async () => {
  const closed = await startApi();
  await using _ = { [Symbol.asyncDispose]: () => closed.close() };
  const response = await closed.fetch('/health', { headers: { Origin: 'http://127.0.0.1:5173' } });
  expect(response.headers.get('access-control-allow-origin')).toBeNull();
});

it('An API without keys accepts requests of listed origins only.', async () => {
  const local = await startApi({}, { LIPSYNC_CORS_ORIGINS: page });
  await using _ = { [Symbol.asyncDispose]: () => local.close() };
  const statusFor = async (origin: string) => (await local.fetch('/lipsync', { headers: { Origin: origin } })).status;
  expect([await statusFor(page), await statusFor('https://evil.example')]).toEqual([200, 403]);
});

it.each([
  ['app.example.org', /"app.example.org" is not an origin/],
  ['https://app.example.org/page', /is not an origin/],
  ['*', /\* needs LIPSYNC_API_KEYS/],
])('The origin %s is refused at start, without keys.', (LIPSYNC_CORS_ORIGINS, reason) => {
  expect(() => apiConfigFromEnvironment({ REDIS_URL: 'redis://127.0.0.1', LIPSYNC_CORS_ORIGINS })).toThrow(reason);
});
