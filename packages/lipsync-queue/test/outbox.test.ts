import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { testJobRecord } from '@lipsync/core/testing';
import { expect, it, onTestFinished } from 'vitest';
import { createClientConnection, RedisJobStore } from '../src/index.ts';
import { startTestRedis } from '../src/testing/index.ts';

const child = fileURLToPath(new URL('./outbox-child.ts', import.meta.url));

it('A process that is killed while it delivers the outbox loses no entry.', { timeout: 30_000 }, async () => {
  const redis = await startTestRedis();
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  onTestFinished(async () => {
    connection.disconnect();
    await redis.stop();
  });
  const store = new RedisJobStore({ connection });
  const ids = ['job_a', 'job_b', 'job_c', 'job_d', 'job_e'];
  for (const id of ids) {
    await store.create(testJobRecord(id));
    await store.append(id, { type: 'canceled', atMs: 2_000 });
  }
  const [, signal] = await once(spawn(process.execPath, [child, redis.url, '3'], { stdio: 'inherit' }), 'exit');
  expect(signal).toBe('SIGKILL');
  expect(await store.readOutbox(10)).toHaveLength(5);
  const [code] = await once(spawn(process.execPath, [child, redis.url, 'never'], { stdio: 'inherit' }), 'exit');
  expect(code).toBe(0);
  expect(await connection.lrange('seen', 0, '-1')).toEqual([...ids.slice(0, 3), ...ids]);
  expect(await store.readOutbox(10)).toEqual([]);
});
