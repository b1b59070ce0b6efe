import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { deadlineExceeded, jobCanceled, transferSignalOf } from './stop-signal.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function openRun() {
  const [host, stop] = [new AbortController(), new AbortController()];
  const run = { signal: AbortSignal.any([host.signal, stop.signal]), context: { signal: host.signal } };
  return { host, stop, run };
}

it('A cancel ends the transfer of a finished take at once.', () => {
  const { stop, run } = openRun();
  const signal = transferSignalOf(run);
  stop.abort(jobCanceled());
  expect(signal.reason).toMatchObject({ code: 'canceled' });
  expect(transferSignalOf(run).aborted).toBe(true);
});

it('A deadline does not end the transfer of a finished take.', () => {
  const { stop, run } = openRun();
  const signal = transferSignalOf(run);
  stop.abort(deadlineExceeded());
  vi.advanceTimersByTime(60_000);
  expect([signal.aborted, transferSignalOf(run).aborted]).toEqual([false, false]);
});

it('A host that stops gives the transfer of a finished take some seconds, also one that begins afterwards.', () => {
  const { host, run } = openRun();
  const early = transferSignalOf(run);
  host.abort();
  const late = transferSignalOf(run);
  vi.advanceTimersByTime(3_000);
  expect([early.aborted, late.aborted]).toEqual([false, false]);
  vi.advanceTimersByTime(3_000);
  expect([early.aborted, late.aborted]).toEqual([true, true]);
});
