import { jobStoreSuite, testJobRecord } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClientConnection, RedisJobStore } from '../src/index.ts';
import { indexMember, jobKey, ownerKey, userKey } from '../src/job-keys.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

let redis: TestRedis;
let connection: Redis;

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
});
afterAll(async () => {
  connection.disconnect();
  await redis.stop();
});

jobStoreSuite('Redis', async () => {
  await connection.flushdb();
  const reported: string[] = [];
  return {
    store: new RedisJobStore({ connection, onUnreadable: (id) => reported.push(id) }),
    reported,
    overwrite: async (id, { format, text }) => void (await connection.hset(jobKey(id), { format, record: text })),
    dispose: async () => undefined,
  };
});

describe('RedisJobStore', () => {
  it('Records and their order survive a kill of the Redis server.', async () => {
    await connection.flushdb();
    const store = new RedisJobStore({ connection });
    await store.create(testJobRecord('job_a', 1_000));
    await store.create(testJobRecord('job_b', 2_000));
    const changed = await store.append('job_a', { type: 'run_started', atMs: 3_000 });
    await redis.kill();
    await redis.restart();
    expect(await store.get('job_a')).toEqual(changed);
    expect((await store.list({ kind: 'lipsync', limit: 10 })).records.map(({ id }) => id)).toEqual(['job_b', 'job_a']);
    expect(await store.unfinished()).toEqual(['job_a', 'job_b']);
  });

  it('A call fails within seconds while Redis is down and works again afterwards.', async () => {
    const store = new RedisJobStore({ connection });
    await redis.kill();
    const startedAt = performance.now();
    await expect(store.create(testJobRecord('job_c'))).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await redis.restart();
    await store.create(testJobRecord('job_c'));
    expect(await store.get('job_c')).toBeDefined();
  });

  it('A call does not wait for a Redis server that hangs, and works again when it resumes.', async () => {
    const store = new RedisJobStore({ connection });
    redis.suspend();
    try {
      await expect(store.get('job_a')).rejects.toMatchObject({ code: 'resource_exhausted' });
    } finally {
      redis.resume();
    }
    expect(await store.get('job_missing')).toBeUndefined();
  });

  it('Jobs that an earlier version stored are found by key and user, and an erased job is not added again.', async () => {
    await connection.flushdb();
    const store = new RedisJobStore({ connection });
    for (const id of ['job_a', 'job_b', 'job_c'])
      await store.create({ ...testJobRecord(id, 1_000, { userId: 'user-1' }), owner: 'alice' });
    await connection.del(ownerKey('lipsync', 'alice'), userKey('lipsync', 'user-1'));
    await connection.del(jobKey('job_b'));
    const other = new RedisJobStore({ connection });
    const found = (await other.list({ kind: 'lipsync', owner: 'alice', userId: 'user-1', limit: 10 })).records;
    expect(found.map(({ id }) => id)).toEqual(['job_c', 'job_a']);
    expect(await connection.zcard(ownerKey('lipsync', 'alice'))).toBe(2);
  });

  it('A list by two indexes continues where a bounded read of them stopped.', async () => {
    await connection.flushdb();
    const store = new RedisJobStore({ connection });
    const members = Array.from({ length: 9_000 }, (_, index) => ['0', indexMember({ createdAtMs: index, id: 'x' })]);
    await connection.zadd(ownerKey('lipsync', 'alice'), ...members.flat());
    await connection.zadd(userKey('lipsync', 'user-1'), ...members.slice(2_000).flat(), '0', 'other');
    await store.create({ ...testJobRecord('job_a', 2_500, { userId: 'user-1' }), owner: 'alice' });
    const query = { kind: 'lipsync', owner: 'alice', userId: 'user-1', limit: 10 } as const;
    const { records, nextCursor } = await store.list(query);
    expect([records.map(({ id }) => id), nextCursor]).toEqual([['job_a'], null]);
  });

  it('A script that the client sends twice stores the record once.', async () => {
    await connection.flushdb();
    const { createScript } = await import('../src/job-scripts.ts');
    const send = (writer: string): Promise<unknown> =>
      connection.eval(
        createScript,
        4,
        'record',
        'all',
        'queued',
        'unfinished',
        writer,
        '0',
        'queued',
        '1',
        '{}',
        'member',
        'channel',
      );
    expect([await send('one'), await send('one'), await send('two')]).toEqual([1, 1, 0]);
  });
});
