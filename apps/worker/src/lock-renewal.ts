import { setTimeout as delay } from 'node:timers/promises';
import type { Job } from 'bullmq';

export interface LockRenewalOptions {
  /** Time after which a lock expires that is not renewed. */
  readonly lockMs: number;
  /** Called once when another run may have claimed the entry. */
  onLost(): void;
  /** Called when Redis refuses a renewal; the next one may still be in time. */
  onError(error: unknown): void;
}

/** The first three renewals are in time, so that two may fail. */
const intervalsPerLock = 4;

/**
 * Renews the lock of a claimed queue entry while `work` runs on it, and aborts its signal when the lock is lost. BullMQ's
 * own renewal tells entries apart by their ids only: when a worker claims an entry again while the earlier run of the
 * entry still ends in the same worker, that end stops the renewal for the later run, which then counts as crashed.
 */
export async function withRenewedLock<Result>(
  job: Pick<Job, 'extendLock'>,
  token: string,
  work: (lockLost: AbortSignal) => Promise<Result>,
  options: LockRenewalOptions,
): Promise<Result> {
  const lost = new AbortController();
  const ended = new AbortController();
  // It never throws. It is not awaited after the work, because without Redis a renewal may take long.
  void renew(job, token, { ...options, lost, ended: ended.signal });
  try {
    return await work(lost.signal);
  } finally {
    ended.abort();
  }
}

interface Renewal extends LockRenewalOptions {
  readonly lost: AbortController;
  readonly ended: AbortSignal;
}

/** Renews at fixed times, however long a renewal takes; one at a time. */
async function renew(job: Pick<Job, 'extendLock'>, token: string, renewal: Renewal): Promise<void> {
  const { lockMs, lost, ended } = renewal;
  let pending: Promise<void> | undefined;
  for (;;) {
    await delay(lockMs / intervalsPerLock, undefined, { signal: ended, ref: false }).catch(() => undefined);
    if (ended.aborted || lost.signal.aborted) return;
    pending ??= renewOnce(job, token, renewal).finally(() => {
      pending = undefined;
    });
  }
}

async function renewOnce(job: Pick<Job, 'extendLock'>, token: string, renewal: Renewal): Promise<void> {
  const { lockMs, lost, ended } = renewal;
  const isHeld = await job.extendLock(token, lockMs).catch(renewal.onError);
  // The end of the entry gives its lock back.
  if (isHeld !== 0 || ended.aborted) return;
  lost.abort('lock lost');
  renewal.onLost();
}
