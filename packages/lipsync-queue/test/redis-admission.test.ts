import { admissionSuite } from '@lipsync/core/testing';
import { afterAll, beforeAll } from 'vitest';
import { createClientConnection, RedisStateStore } from '../src/index.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startTestRedis();
});
afterAll(() => redis.stop());

admissionSuite('Redis', async () => {
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  await connection.flushdb();
  return {
    store: new RedisStateStore({ connection }),
    program: new URL('./redis-admission-child.ts', import.meta.url),
    programArguments: [redis.url],
    dispose: async () => connection.disconnect(),
  };
});
