import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { withRenewedLock } from './lock-renewal.ts';

const lockMs = 800;
const held = () => Promise.resolve(1);
const lost = () => Promise.resolve(0);
const refused = () => Promise.reject(new Error('refused'));
const unanswered = () => new Promise<number>(() => undefined);

/** Works for `workMs` while renewals answer in turn; the last answer stands for all further ones. */
async function work(workMs: number, ...answers: readonly (() => Promise<number>)[]) {
  const counts = { renewals: 0, lost: 0, errors: 0 };
  const entry = {
    extendLock: () => (answers[counts.renewals++] ?? answers.at(-1) ?? held)(),
  };
  const outcome = await withRenewedLock(
    entry,
    'token',
    (lockLost) =>
      delay(workMs, undefined, { signal: lockLost }).then(
        () => 'ended',
        () => 'aborted',
      ),
    { lockMs, onLost: () => void counts.lost++, onError: () => void counts.errors++ },
  );
  return { outcome, counts };
}

it('A lock is renewed three times before it expires, and no more after the work has ended.', async () => {
  const { outcome, counts } = await work(lockMs - 20, held);
  expect(outcome).toBe('ended');
  expect(counts).toEqual({ renewals: 3, lost: 0, errors: 0 });
  await delay(lockMs);
  expect(counts.renewals).toBe(3);
});

it('Work is aborted once when its lock is lost.', async () => {
  const { outcome, counts } = await work(10_000, held, lost);
  expect({ outcome, ...counts }).toEqual({ outcome: 'aborted', renewals: 2, lost: 1, errors: 0 });
});

it('Renewals that Redis refuses do not abort the work.', async () => {
  const { outcome, counts } = await work(lockMs, refused, refused, held);
  expect({ outcome, errors: counts.errors, lost: counts.lost }).toEqual({ outcome: 'ended', errors: 2, lost: 0 });
});

it('A renewal that gets no answer does not hold up the end of the work.', async () => {
  const { outcome, counts } = await work(2 * lockMs, unanswered);
  expect({ outcome, renewals: counts.renewals }).toEqual({ outcome: 'ended', renewals: 1 });
});
