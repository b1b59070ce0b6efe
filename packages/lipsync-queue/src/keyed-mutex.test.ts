import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createKeyedMutex } from './keyed-mutex.ts';

describe('turns', () => {
  it('work on the same key goes in the order in which it was asked for, one at a time', async () => {
    const inTurn = createKeyedMutex(10_000);
    const log: string[] = [];
    const work = (name: string, ms: number) => async () => {
      log.push(`${name} begins`);
      await delay(ms);
      log.push(`${name} ends`);
    };
    await Promise.all([
      inTurn(['a', 'b'], work('one', 20)),
      inTurn(['b', 'c'], work('two', 10)),
      inTurn(['c', 'a'], work('three', 0)),
    ]);
    expect(log).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
  });

  it('work on other keys does not wait', async () => {
    const inTurn = createKeyedMutex(10_000);
    const never = Promise.withResolvers<void>();
    const stuck = inTurn(['a'], () => never.promise);
    expect(await inTurn(['b'], async () => 'done')).toBe('done');
    never.resolve();
    await stuck;
  });

  it('the next one has its turn when work fails', async () => {
    const inTurn = createKeyedMutex(10_000);
    const failing = inTurn(['a'], async () => Promise.reject(new Error('broken')));
    const next = inTurn(['a'], async () => 'done');
    await expect(failing).rejects.toThrow('broken');
    expect(await next).toBe('done');
  });

  it('whoever waited too long is sent away without doing the work', async () => {
    const inTurn = createKeyedMutex(20);
    let worked = false;
    const slow = inTurn(['a'], () => delay(60));
    const late = inTurn(['a'], async () => void (worked = true));
    await expect(late).rejects.toMatchObject({ code: 'resource_exhausted' });
    await slow;
    expect(worked).toBe(false);
    expect(await inTurn(['a'], async () => 'done')).toBe('done');
  });
});
