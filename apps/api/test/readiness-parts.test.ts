import { setTimeout as delay } from 'node:timers/promises';
import { LipsyncError, systemClock, silentLogger } from '@lipsync/core/host';
import { createClientConnection } from '@lipsync/queue';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Readiness } from '../src/readiness.ts';
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

describe('Readiness', () => {
  it('Many callers at once and in quick succession share one check, whose result is then renewed.', async () => {
    let checks = 0;
    const check = async (): Promise<void> => {
      checks += 1;
      await delay(50);
    };
    const readiness = new Readiness({
      checks: [{ name: 'disk', check }],
      clock: systemClock,
      logger: silentLogger,
      cacheMs: 200,
    });
    await Promise.all(Array.from({ length: 100 }, () => readiness.read()));
    await readiness.read();
    expect(checks).toBe(1);
    await delay(300);
    await readiness.read();
    expect(checks).toBe(2);
  });

  it('A check that hangs counts as failed within the limit and is not started again.', async () => {
    let checks = 0;
    const hanging = Promise.withResolvers<void>();
    const check = (): Promise<void> => {
      checks += 1;
      return hanging.promise;
    };
    const readiness = new Readiness({
      checks: [{ name: 'disk', check }],
      clock: systemClock,
      logger: silentLogger,
      checkLimitMs: 50,
      cacheMs: 0,
    });
    for (let call = 0; call < 3; call += 1) {
      expect(await readiness.read()).toEqual([{ name: 'disk', reason: 'It does not respond in time.' }]);
      await delay(20);
    }
    expect(checks).toBe(1);
    hanging.resolve();
    await delay(20);
    expect(await readiness.read()).toEqual([{ name: 'disk', reason: null }]);
  });

  it('A part that fails at every call is logged once, with the code as the reason.', async () => {
    const lines: [object, string][] = [];
    const check = (): Promise<void> => Promise.reject(new LipsyncError('resource_exhausted', 'The disk is full.'));
    const readiness = new Readiness({
      checks: [{ name: 'disk', check }],
      clock: systemClock,
      logger: { ...silentLogger, warn: (...line) => void lines.push(line) },
      cacheMs: 0,
    });
    for (let call = 0; call < 5; call += 1) {
      await readiness.read();
      await delay(10);
    }
    expect(lines).toEqual([
      [expect.objectContaining({ part: 'disk', reason: 'resource_exhausted' }), 'disk: The disk is full.'],
    ]);
  });
});
