import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiRoutes } from '../src/app.ts';
import { form, json, startApi, type RunningApi } from './running-api.ts';

const settings = {
  LIPSYNC_API_KEYS: ['alice', 'bob', 'carol', 'dave', 'erin'].map((name) => `${name}:${secretOf(name)}`).join(','),
  LIPSYNC_MAX_REQUESTS_PER_MINUTE: '4',
  LIPSYNC_MAX_JOB_REQUESTS_PER_MINUTE: '2',
};

function secretOf(name: string): string {
  return `${name}-and-its-secret`;
}

const as = (name: string, body?: FormData): RequestInit => ({
  headers: { Authorization: `Bearer ${secretOf(name)}` },
  ...(body && { method: 'POST', body }),
});

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({}, settings);
});
afterAll(() => api.close());

async function statuses(count: number, call: (index: number) => Promise<Response>): Promise<readonly number[]> {
  const found: number[] = [];
  for (let index = 0; index < count; index += 1) found.push((await call(index)).status);
  return found;
}

describe('rate limits', () => {
  it('All API processes together count the requests of a key, and those of other keys apart.', async () => {
    const other = await api.another();
    await using _ = { [Symbol.asyncDispose]: other.stop };
    const urls = [api.url, other.url];
    expect(await statuses(6, (index) => fetch(`${urls[index % 2]}/lipsync`, as('alice')))).toEqual([
      200, 200, 200, 200, 429, 429,
    ]);
    expect(await statuses(1, () => api.fetch('/lipsync', as('bob')))).toEqual([200]);
  });

  it('A refused request gets one problem with Retry-After, and states the limit.', async () => {
    const refused = await api.fetch('/lipsync', as('alice'));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(refused.headers.get('ratelimit')).toMatch(/^"requests"; r=0; t=\d+$/);
    expect(refused.headers.get('ratelimit-policy')).toMatch(/^"requests"; q=4; w=60; pk=:/);
    expect(await json(refused)).toMatchObject({ code: 'too_many_requests', retryable: true, status: 429, errors: [] });
  });

  it('Requests that create jobs have a lower limit, and a refused one stores nothing.', async () => {
    expect(await statuses(2, () => api.fetch('/lipsync', as('carol', form())))).toEqual([202, 202]);
    const stored = await api.storedFiles();
    const body = form();
    body.set('video', new Blob(['another clip']), 'another.mp4');
    const refused = await api.fetch('/lipsync', as('carol', body));
    expect(refused.status).toBe(429);
    expect(refused.headers.get('ratelimit')).toMatch(/"requests"; r=1; t=\d+, "job-requests"; r=0; t=\d+/);
    expect(await api.storedFiles()).toEqual(stored);
    expect((await api.fetch('/lipsync', as('carol'))).status).toBe(200);
  });

  it('Health, readiness and requests without a valid key are not counted.', async () => {
    expect(await statuses(8, () => api.fetch('/health', as('dave')))).toEqual(Array(8).fill(200));
    expect(await statuses(8, () => api.fetch('/ready', as('dave')))).toEqual(Array(8).fill(200));
    expect(await statuses(8, () => api.fetch('/lipsync'))).toEqual(Array(8).fill(401));
    expect((await api.fetch('/lipsync', as('dave'))).headers.get('ratelimit')).toContain('r=3;');
  });

  it('An API that starts without Redis refuses nothing by its limits, and limits once Redis is back.', async () => {
    await api.redis.kill();
    const late = await api.another();
    await using _ = { [Symbol.asyncDispose]: late.stop };
    const call = () => fetch(`${late.url}/lipsync`, as('erin'));
    expect(await statuses(2, call)).toEqual([503, 503]);
    await api.redis.restart();
    await expect.poll(async () => (await call()).status, { timeout: 10_000, interval: 200 }).toBe(429);
  });
});

it('Every route that makes work has the lower limit.', () => {
  const creating = apiRoutes(api.dependencies).filter(({ createsJobs }) => createsJobs);
  expect(creating.map(({ method, path }) => `${method} ${path}`).toSorted()).toEqual([
    'post /batches',
    'post /lipsync',
    'post /lipsync/:id/retry',
    'post /quality',
    'post /quality/:id/retry',
  ]);
});

it('An API without keys has no rate limit, and neither has one whose limits are 0.', async () => {
  const { LIPSYNC_API_KEYS } = settings;
  for (const [limits, request] of [
    [{ ...settings, LIPSYNC_API_KEYS: '' }, {}],
    [{ LIPSYNC_API_KEYS, LIPSYNC_MAX_REQUESTS_PER_MINUTE: '0', LIPSYNC_MAX_JOB_REQUESTS_PER_MINUTE: '0' }, as('alice')],
  ] as const) {
    const unlimited = await startApi({}, limits);
    await using _ = { [Symbol.asyncDispose]: () => unlimited.close() };
    expect(await statuses(6, () => unlimited.fetch('/lipsync', request))).toEqual(Array(6).fill(200));
    expect((await unlimited.fetch('/lipsync', request)).headers.get('ratelimit')).toBeNull();
  }
});
