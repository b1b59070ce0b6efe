import { concurrencySlotsSuite } from '@lipsync/core/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClientConnection, RedisConcurrencySlots, RedisStateStore } from '../src/index.ts';
import { startTestRedis, type TestRedis } from '../src/testing/index.ts';

let redis: TestRedis;
let connection: Redis;
const clock = { nowMs: () => 1_000 };

beforeAll(async () => {
  redis = await startTestRedis();
  connection = createClientConnection({ url: redis.url, onError: () => undefined });
});
afterAll(async () => {
  connection.disconnect();
  await redis.stop();
});

concurrencySlotsSuite('Redis', async (suiteClock) => {
  await connection.flushdb();
  return {
    slots: new RedisConcurrencySlots({ connection, clock: suiteClock }),
    state: new RedisStateStore({ connection }),
  };
});

describe('RedisConcurrencySlots', () => {
  it('Holders that the state store wrote are kept, and the state store reads those of the scripts.', async () => {
    await connection.flushdb();
    const state = new RedisStateStore({ connection });
    const stored = { jobId: 'job_1', sinceMs: 1_764_355_032_123, untilMs: null };
    await state.transact(['places/heygen'], () => ({
      result: undefined,
      writes: new Map([['places/heygen', [stored]]]),
    }));
    const slots = new RedisConcurrencySlots({ connection, clock });
    expect(await slots.acquire('heygen', 'job_2', { limit: 2 })).toBe(true);
    const [document] = await state.list('places/', { limit: 1 });
    expect(document).toEqual({
      key: 'places/heygen',
      document: [stored, { jobId: 'job_2', sinceMs: 1_000, untilMs: null }],
    });
  });

  it('A job that acquires a slot at another provider no longer waits at the first.', async () => {
    await connection.flushdb();
    const slots = new RedisConcurrencySlots({ connection, clock });
    expect(await slots.acquire('heygen', 'job_1', { limit: 0 })).toBe(false);
    expect(await slots.acquire('other', 'job_1', { limit: 1 })).toBe(true);
    expect([await slots.isWaiting('job_1'), await slots.countWaiting('heygen')]).toEqual([false, 0]);
  });

  it('A release that the client sends twice takes one job and returns it both times.', async () => {
    await connection.flushdb();
    const slots = new RedisConcurrencySlots({ connection, clock });
    for (const jobId of ['job_1', 'job_2', 'job_3']) await slots.acquire('heygen', jobId, { limit: 1 });
    const sent = interceptRelease(connection);
    expect(await slots.release('heygen', 'job_1')).toBe('job_2');
    expect(await sent.again()).toBe('job_2');
    expect(await slots.countWaiting('heygen')).toBe(1);
  });
});

/** Records the next release command, so that it can be sent again with the same arguments. */
function interceptRelease(target: Redis): { again(): Promise<unknown> } {
  const name = 'lipsyncReleaseSlot';
  // `as`: defineCommand added the method at runtime.
  const commands = target as unknown as Record<string, (...values: readonly string[]) => Promise<unknown>>;
  const send = commands[name]?.bind(target);
  if (!send) throw new Error(`${name} is not defined`);
  let values: readonly string[] = [];
  commands[name] = (...given) => {
    values = given;
    return send(...given);
  };
  return { again: () => send(...values) };
}
