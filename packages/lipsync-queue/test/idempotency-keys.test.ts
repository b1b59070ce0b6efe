import { testJobRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClientConnection, createRequestKey, IdempotencyKeys, RedisJobStore } from '../src/index.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

let redis: TestRedis;
let connection: Redis;
let keys: IdempotencyKeys;
let store: RedisJobStore;
beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  keys = new IdempotencyKeys({ connection });
  store = new RedisJobStore({ connection });
});
beforeEach(() => connection.flushdb());
afterAll(async () => {
  connection.disconnect();
  await redis.stop();
});

function claim(owner: string | null = null) {
  return { ...createRequestKey(owner, 'the key'), fingerprint: 'content' };
}

describe('A held idempotency key', () => {
  it('The request that holds it may send the command twice, because the client repeats it on a new connection.', async () => {
    const request = claim();
    const held = await keys.hold(request);
    const repeated = await keys.hold(request);
    await expect(keys.hold(claim())).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    await Promise.all([held.release(), repeated.release()]);
    await (await keys.hold(claim())).release();
  });

  it('It is independent of the same key of another owner.', async () => {
    const all = [null, 'a', 'b'].map((owner) => keys.hold(claim(owner)));
    await Promise.all((await Promise.all(all)).map((held) => held.release()));
    expect(await connection.keys('*')).toEqual([]);
  });

  it('A request whose hold has expired creates its job, unless another one holds the key now.', async () => {
    const slow = claim();
    const held = await keys.hold(slow);
    await connection.flushdb();
    const other = await keys.hold(claim());
    const refused = store.createOnce(testJobRecord('job_1'), slow);
    await expect(refused).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    await other.release();
    expect(await store.createOnce(testJobRecord('job_1'), slow)).toBeUndefined();
    await held.release();
    expect(await store.createOnce(testJobRecord('job_2'), claim())).toBe('job_1');
  });
});

it('A Redis that is out of memory stores neither key nor job, and the request can be repeated afterwards.', async () => {
  await connection.config('SET', 'maxmemory', '1');
  const full = { code: 'resource_exhausted', message: expect.stringContaining('out of memory') };
  await expect(keys.hold(claim())).rejects.toMatchObject(full);
  await expect(store.createOnce(testJobRecord('job_1'), claim())).rejects.toMatchObject(full);
  await connection.config('SET', 'maxmemory', '0');
  expect(await connection.keys('*')).toEqual([]);
  expect(await store.createOnce(testJobRecord('job_1'), claim())).toBeUndefined();
});
