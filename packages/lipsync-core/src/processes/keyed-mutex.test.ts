import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { KeyedMutex } from './keyed-mutex.ts';

it('A keyed mutex runs work on a shared key one at a time, in order of arrival.', async () => {
  const mutex = new KeyedMutex({ maxWaitMs: 10_000 });
  const log: string[] = [];
  const work = (name: string, ms: number) => async () => {
    log.push(`${name} starts`);
    await delay(ms);
    log.push(`${name} ends`);
  };
  await Promise.all([
    mutex.run(['a', 'b'], work('one', 20)),
    mutex.run(['b', 'c'], work('two', 10)),
    mutex.run(['c', 'a'], work('three', 0)),
  ]);
  expect(log).toEqual(['one starts', 'one ends', 'two starts', 'two ends', 'three starts', 'three ends']);
});

it('A keyed mutex does not delay work on other keys.', async () => {
  const mutex = new KeyedMutex({ maxWaitMs: 10_000 });
  const never = Promise.withResolvers<void>();
  const stuck = mutex.run(['a'], () => never.promise);
  expect(await mutex.run(['b'], async () => 'done')).toBe('done');
  never.resolve();
  await stuck;
});

it('A keyed mutex continues with the next work after a failure.', async () => {
  const mutex = new KeyedMutex({ maxWaitMs: 10_000 });
  const failing = mutex.run(['a'], async () => Promise.reject(new Error('broken')));
  const next = mutex.run(['a'], async () => 'done');
  await expect(failing).rejects.toThrow('broken');
  expect(await next).toBe('done');
});

it('A keyed mutex rejects waiting work at the limit, while earlier work still runs, and keeps the order of the rest.', async () => {
  const mutex = new KeyedMutex({ maxWaitMs: 40 });
  const log: string[] = [];
  const slow = Promise.withResolvers<void>();
  const first = mutex.run(['a'], () => slow.promise.then(() => void log.push('first ends')));
  await expect(mutex.run(['a'], async () => void log.push('late'))).rejects.toMatchObject({
    code: 'resource_exhausted',
  });
  const third = mutex.run(['a'], async () => void log.push('third'));
  expect(log).toEqual([]);
  slow.resolve();
  await Promise.all([first, third]);
  expect(log).toEqual(['first ends', 'third']);
});

it('A keyed mutex rejects work that waited longer than the limit, without running it.', async () => {
  const mutex = new KeyedMutex({ maxWaitMs: 20 });
  let worked = false;
  const slow = mutex.run(['a'], () => delay(60));
  const late = mutex.run(['a'], async () => void (worked = true));
  await expect(late).rejects.toMatchObject({ code: 'resource_exhausted' });
  await slow;
  expect(worked).toBe(false);
  expect(await mutex.run(['a'], async () => 'done')).toBe('done');
});

it('A keyed mutex rejects waiting work as soon as its signal aborts, and keeps the order of the rest.', async () => {
  const mutex = new KeyedMutex({ maxWaitMs: 10_000 });
  const log: string[] = [];
  const slow = Promise.withResolvers<void>();
  const stop = new AbortController();
  const first = mutex.run(['a'], () => slow.promise.then(() => void log.push('first ends')));
  const stopped = mutex.run(['a'], async () => void log.push('stopped'), stop.signal);
  const last = mutex.run(['a'], async () => void log.push('last'));
  stop.abort();
  await expect(stopped).rejects.toMatchObject({ code: 'canceled' });
  slow.resolve();
  await Promise.all([first, last]);
  expect(log).toEqual(['first ends', 'last']);
});
