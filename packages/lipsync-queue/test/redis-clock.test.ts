import { startTestRedis } from '@lipsync/queue/testing';
import { expect, it, onTestFinished } from 'vitest';
import { createClientConnection, RedisClock } from '../src/index.ts';

it.each([5_000, -5_000])('The clock of a machine that is %i ms off becomes that of Redis.', async (skewMs) => {
  const redis = await startTestRedis();
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  onTestFinished(async () => {
    connection.disconnect();
    await redis.stop();
  });
  const local = { nowMs: () => Date.now() + skewMs };
  const clock = new RedisClock(local);
  expect(Math.abs(clock.nowMs() - local.nowMs())).toBeLessThan(1_000);
  for (let count = 0; count < 5; count += 1) await clock.synchronize(connection);
  // Redis runs on this machine.
  expect(Math.abs(clock.nowMs() - Date.now())).toBeLessThan(500);
  expect(Math.abs(clock.toLocalMs(clock.nowMs()) - local.nowMs())).toBeLessThan(500);
});

it('A slow answer changes the clock only when it proves that the clock is wrong.', async () => {
  let localMs = 1_000_000;
  const clock = new RedisClock({ nowMs: () => localMs });
  const answer = (redisMs: number, tookMs: number) => ({
    async time(): Promise<[number, number]> {
      localMs += tookMs;
      return [Math.floor(redisMs / 1_000), (redisMs % 1_000) * 1_000];
    },
  });
  await clock.synchronize(answer(1_003_001, 2));
  expect(clock.nowMs() - localMs).toBe(3_000);
  // Its middle differs by 400 ms, within its error of 1 s.
  await clock.synchronize(answer(localMs + 4_400, 2_000));
  expect(clock.nowMs() - localMs).toBe(3_000);
  // The clock of the machine was corrected.
  await clock.synchronize(answer(localMs + 1_000, 2_000));
  expect(clock.nowMs() - localMs).toBe(0);
});
