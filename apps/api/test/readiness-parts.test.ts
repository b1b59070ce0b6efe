import { createClientConnection } from '@lipsync/queue';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

describe('An API whose Redis refuses writes', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.close());

  it.each([
    [
      'out of memory',
      (admin) => admin.config('SET', 'maxmemory', '1'),
      (admin) => admin.config('SET', 'maxmemory', '0'),
    ],
    ['a replica', (admin) => admin.replicaof('127.0.0.1', '1'), (admin) => admin.replicaof('NO', 'ONE')],
  ] satisfies [string, ...((admin: ReturnType<typeof createClientConnection>) => Promise<unknown>)[]][])(
    'With a Redis that is %s, readiness, submissions and cancels state that as the reason.',
    async (words, refuse, accept) => {
      const id = await api.recordJob();
      const admin = createClientConnection({ url: api.redis.url, onError: () => undefined });
      onTestFinished(() => admin.disconnect());
      await refuse(admin);
      onTestFinished(async () => void (await accept(admin)));
      const expected = {
        status: 503,
        code: 'resource_exhausted',
        retryable: true,
        detail: expect.stringContaining(words),
      };
      expect(await json(await api.post('/lipsync', form()))).toMatchObject(expected);
      expect(await json(await api.post(`/lipsync/${id}/cancel`))).toMatchObject(expected);
      await expect
        .poll(async () => json(await api.fetch('/ready')), { timeout: 5_000 })
        .toMatchObject({ status: 'not_ready', reasons: { redis: expect.stringContaining(words) } });
      await accept(admin);
      await expect.poll(async () => (await api.fetch('/ready')).status, { timeout: 5_000 }).toBe(200);
    },
  );
});
