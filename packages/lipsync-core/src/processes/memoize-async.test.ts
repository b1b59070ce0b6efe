import { expect, it, onTestFinished, vi } from 'vitest';
import { memoizeAsync } from './memoize-async.ts';

it('A memoized function runs once and returns the same promise to concurrent and later callers.', async () => {
  const create = vi.fn<() => Promise<object>>(async () => ({}));
  const get = memoizeAsync(create);
  const [first, second] = await Promise.all([get(), get()]);
  expect(first).toBe(second);
  expect(await get()).toBe(first);
  expect(create).toHaveBeenCalledTimes(1);
});

it('A memoized function keeps a rejection by default.', async () => {
  const create = vi.fn<() => Promise<string>>(async () => Promise.reject(new Error('broken')));
  const get = memoizeAsync(create);
  await expect(get()).rejects.toThrow('broken');
  await expect(get()).rejects.toThrow('broken');
  expect(create).toHaveBeenCalledTimes(1);
});

it('A memoized function with retryAfterFailure runs again after a rejection and keeps the result.', async () => {
  const create = vi.fn<() => Promise<string>>(async () => 'ready').mockRejectedValueOnce(new Error('broken'));
  const get = memoizeAsync(create, { retryAfterFailure: true });
  await expect(get()).rejects.toThrow('broken');
  expect(await get()).toBe('ready');
  expect(await get()).toBe('ready');
  expect(create).toHaveBeenCalledTimes(2);
});

it('A memoized function with a lifetime runs again after the lifetime of its result.', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const create = vi.fn<() => Promise<string>>(async () => 'ready');
  const get = memoizeAsync(create, { lifetimeMs: 1_000 });
  await get();
  await vi.advanceTimersByTimeAsync(999);
  await get();
  expect(create).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  await get();
  expect(create).toHaveBeenCalledTimes(2);
});
