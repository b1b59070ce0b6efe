import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

async function timed(
  call: Promise<Response>,
): Promise<{ status: number; body: { code?: string; retryable?: boolean }; ms: number; retryAfter: string | null }> {
  const startedAt = performance.now();
  const response = await call;
  return {
    status: response.status,
    body: await json(response),
    ms: performance.now() - startedAt,
    retryAfter: response.headers.get('retry-after'),
  };
}

describe('API with Redis', () => {
  it('An API with Redis is alive and ready.', async () => {
    expect(await json(await api.fetch('/health'))).toEqual({ status: 'ok' });
    const response = await api.fetch('/ready');
    expect(response.status).toBe(200);
    expect(await json(response)).toEqual({
      status: 'ready',
      checks: { redis: 'ok', data_folder: 'ok', output_folder: 'ok' },
      reasons: {},
    });
  });
});

describe('API without Redis', () => {
  beforeAll(() => api.redis.kill());

  it('An API without Redis is alive but not ready.', async () => {
    expect((await api.fetch('/health')).status).toBe(200);
    // An answer may be as old as 5 s.
    await expect.poll(async () => (await api.fetch('/ready')).status, { timeout: 5_000 }).toBe(503);
    const { body, ms } = await timed(api.fetch('/ready'));
    expect(body).toEqual({
      status: 'not_ready',
      checks: { redis: 'failed', data_folder: 'ok', output_folder: 'ok' },
      reasons: { redis: expect.stringContaining('Redis cannot be reached') },
    });
    expect(ms).toBeLessThan(4_000);
  });

  it.each(['POST form', 'POST JSON', 'GET one', 'GET list', 'events'])(
    'Without Redis, the API answers %s with 503 within 6 seconds.',
    async (kind) => {
      const call = {
        'POST form': () => api.post('/lipsync', form()),
        'POST JSON': () =>
          api.postJson('/lipsync', { video_url: 'https://example.org/a', audio_url: 'https://example.org/b' }),
        'GET one': () => api.fetch('/lipsync/job_1'),
        'GET list': () => api.fetch('/lipsync'),
        events: () => api.fetch('/lipsync/job_1/events'),
      }[kind];
      const answer = await timed(call?.() ?? Promise.reject(new Error(kind)));
      expect(answer).toMatchObject({
        status: 503,
        retryAfter: '5',
        body: { code: 'resource_exhausted', retryable: true },
      });
      expect(answer.ms).toBeLessThan(6_000);
    },
  );

  it('The API works again when Redis is back.', async () => {
    await api.redis.restart();
    await expect.poll(async () => (await api.fetch('/ready')).status, { timeout: 10_000 }).toBe(200);
    expect((await api.post('/lipsync', form())).status).toBe(202);
  });
});
