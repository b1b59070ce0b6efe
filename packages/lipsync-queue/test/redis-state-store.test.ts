import { stateProcessesSuite, stateRacesSuite, stateStoreSuite } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClientConnection, RedisStateStore } from '../src/index.ts';
import { writeStateScript } from '../src/state-scripts.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

let redis: TestRedis;
let connection: Redis;
let otherConnection: Redis;

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
  otherConnection = createClientConnection({ url: redis.url, onError: () => undefined });
});
afterAll(async () => {
  connection.disconnect();
  otherConnection.disconnect();
  await redis.stop();
});

async function makeStores() {
  await connection.flushdb();
  return {
    store: new RedisStateStore({ connection }),
    other: new RedisStateStore({ connection: otherConnection }),
    dispose: async () => undefined,
  };
}

stateStoreSuite('Redis', makeStores);
stateRacesSuite('Redis', makeStores);
stateProcessesSuite('Redis', async () => ({
  store: (await makeStores()).store,
  program: new URL('./redis-state-child.ts', import.meta.url),
  programArguments: [redis.url],
  dispose: async () => undefined,
}));

describe('RedisStateStore', () => {
  const put = (key: string, document: string): Promise<void> =>
    new RedisStateStore({ connection }).transact([key], () => ({
      result: undefined,
      writes: new Map([[key, document]]),
    }));
  const get = (key: string): Promise<unknown> =>
    new RedisStateStore({ connection }).transact([key], (documents) => ({ result: documents.get(key) }));

  it('Documents survive a kill of the Redis server.', async () => {
    await put('a', 'kept');
    await redis.kill();
    await redis.restart();
    expect(await get('a')).toBe('kept');
    expect(await new RedisStateStore({ connection }).list('a', { limit: 1 })).toEqual([{ key: 'a', document: 'kept' }]);
  });

  it('A call fails within seconds while Redis is down and works again afterwards.', async () => {
    await redis.kill();
    const startedAt = performance.now();
    await expect(put('a', 'lost')).rejects.toMatchObject({ code: 'resource_exhausted' });
    await expect(new RedisStateStore({ connection }).list('', { limit: 1 })).rejects.toMatchObject({
      code: 'resource_exhausted',
    });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await redis.restart();
    await put('a', 'stored');
    expect(await get('a')).toBe('stored');
  });

  it('A document of an unknown format is rejected.', async () => {
    await connection.hset('lipsync:state:future', { version: 'x', format: '2', document: '{}' });
    await expect(get('future')).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('another version'),
    });
  });

  it('A transaction that always conflicts gives up without storing anything.', async () => {
    const store = new RedisStateStore({ connection, contention: { maxTries: 3, maxPauseMs: 2 } });
    let tries = 0;
    const overtaken = store.transact(['a'], () => {
      tries += 1;
      // Impure on purpose: the command is sent before the write of this transaction, on the same connection.
      void connection.hset('lipsync:state:a', 'version', `overtaken-${tries}`);
      return { result: undefined, writes: new Map([['a', 'mine']]) };
    });
    await expect(overtaken).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect([tries, await get('a')]).toEqual([3, 'stored']);
  });

  it('A document that was deleted and written again with the same content counts as changed.', async () => {
    const store = new RedisStateStore({ connection });
    await put('same', 'content');
    const stale = await connection.hget('lipsync:state:same', 'version');
    await store.transact(['same'], () => ({ result: undefined, writes: new Map([['same', null]]) }));
    await put('same', 'content');
    expect(
      await connection.eval(
        writeStateScript,
        3,
        'mark',
        'index',
        'lipsync:state:same',
        'v',
        '1',
        '1000',
        stale ?? '',
        'set',
        '"mine"',
        'same',
      ),
    ).toBe(0);
    expect(await get('same')).toBe('content');
  });

  it('A script that the client sends twice writes once, even if another process wrote in between.', async () => {
    await connection.flushdb();
    const send = (version: string, expected: string, text: string): Promise<unknown> =>
      connection.eval(
        writeStateScript,
        3,
        `mark-${version}`,
        'index',
        'document',
        version,
        '1',
        '60000',
        expected,
        'set',
        text,
        'member',
      );
    expect([
      await send('one', '', '1'),
      await send('two', 'one', '2'),
      await send('one', '', '1'),
      await send('three', 'one', '3'),
    ]).toEqual([1, 1, 1, 0]);
    expect(await connection.hget('document', 'document')).toBe('2');
  });

  it('The mark of a write expires.', async () => {
    await connection.flushdb();
    await put('a', 'b');
    const marks = await connection.keys('lipsync:state-written:*');
    expect(marks).toHaveLength(1);
    expect(await connection.pttl(marks[0] ?? '')).toBeGreaterThan(30_000);
    expect(await connection.pttl(marks[0] ?? '')).toBeLessThanOrEqual(60_000);
  });
});
