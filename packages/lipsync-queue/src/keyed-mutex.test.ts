import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createKeyedMutex } from './keyed-mutex.ts';

describe('createKeyedMutex', () => {
  it('Work on the same key runs one at a time, in the order of the calls.', async () => {
    const mutex = createKeyedMutex(10_000);
    const log: string[] = [];
    const work = (name: string, ms: number) => async () => {
      log.push(`${name} begins`);
      await delay(ms);
      log.push(`${name} ends`);
    };
    await Promise.all([
      mutex(['a', 'b'], work('one', 20)),
      mutex(['b', 'c'], work('two', 10)),
      mutex(['c', 'a'], work('three', 0)),
    ]);
    expect(log).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
  });

  it('Work on other keys does not wait.', async () => {
    const mutex = createKeyedMutex(10_000);
    const never = Promise.withResolvers<void>();
    const stuck = mutex(['a'], () => never.promise);
    expect(await mutex(['b'], async () => 'done')).toBe('done');
    never.resolve();
    await stuck;
  });

  it('Work that fails does not block the work after it.', async () => {
    const mutex = createKeyedMutex(10_000);
    const failing = mutex(['a'], async () => Promise.reject(new Error('broken')));
    const next = mutex(['a'], async () => 'done');
    await expect(failing).rejects.toThrow('broken');
    expect(await next).toBe('done');
  });

  it('Work that waited too long is rejected without running.', async () => {
    const mutex = createKeyedMutex(20);
    let worked = false;
    const slow = mutex(['a'], () => delay(60));
    const late = mutex(['a'], async () => void (worked = true));
    await expect(late).rejects.toMatchObject({ code: 'resource_exhausted' });
    await slow;
    expect(worked).toBe(false);
    expect(await mutex(['a'], async () => 'done')).toBe('done');
  });
});
