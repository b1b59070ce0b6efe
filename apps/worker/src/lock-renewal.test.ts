import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { withRenewedLock } from './lock-renewal.ts';

const lockMs = 800;

/** An entry whose renewals answer in turn; the last answer stands for all further ones. */
function entryWith(...answers: readonly (() => Promise<number>)[]) {
  let calls = 0;
  return {
    extendLock: vi.fn(() => {
      const answer = answers[Math.min(calls, answers.length - 1)];
      calls += 1;
      return answer ? answer() : Promise.resolve(1);
    }),
  };
}

const held = () => Promise.resolve(1);
const lost = () => Promise.resolve(0);
const refused = () => Promise.reject(new Error('refused'));
const until = (ms: number) => (signal: AbortSignal) =>
  delay(ms, undefined, { signal }).then(
    () => 'ended',
    () => 'aborted',
  );

it('A lock is renewed three times before it expires, and no more after the work has ended.', async () => {
  const entry = entryWith(held);
  const options = { lockMs, onLost: vi.fn(), onError: vi.fn() };
  expect(await withRenewedLock(entry, 'token', until(lockMs - 20), options)).toBe('ended');
  const calls = entry.extendLock.mock.calls.length;
  expect(calls).toBe(3);
  await delay(lockMs);
  expect(entry.extendLock).toHaveBeenCalledTimes(calls);
});

it('Work is aborted once when its lock is lost.', async () => {
  const options = { lockMs, onLost: vi.fn(), onError: vi.fn() };
  expect(await withRenewedLock(entryWith(held, lost), 'token', until(5_000), options)).toBe('aborted');
  expect(options.onLost).toHaveBeenCalledTimes(1);
});

it('Renewals that Redis refuses do not abort the work.', async () => {
  const options = { lockMs, onLost: vi.fn(), onError: vi.fn() };
  expect(await withRenewedLock(entryWith(refused, refused, held), 'token', until(lockMs), options)).toBe('ended');
  expect(options.onError).toHaveBeenCalledTimes(2);
  expect(options.onLost).not.toHaveBeenCalled();
});

it('A renewal that gets no answer does not hold up the end of the work.', async () => {
  const entry = entryWith(() => new Promise<number>(() => undefined));
  const options = { lockMs, onLost: vi.fn(), onError: vi.fn() };
  expect(await withRenewedLock(entry, 'token', until(2 * lockMs), options)).toBe('ended');
  expect(entry.extendLock).toHaveBeenCalledTimes(1);
});
