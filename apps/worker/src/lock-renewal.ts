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
 * own renewal tells entries apart by their ids only: when a worker claims an entry again before the earlier run of
 * the entry has returned, the end of that run stops the renewal for the later one, which then counts as crashed.
 */
export async function withRenewedLock<Result>(
  job: Pick<Job, 'extendLock'>,
  token: string,
  work: (lockLost: AbortSignal) => Promise<Result>,
  options: LockRenewalOptions,
): Promise<Result> {
  const { lockMs, onLost, onError } = options;
  const lost = new AbortController();
  let isPending = false;
  let hasEnded = false;
  const renew = async (): Promise<void> => {
    isPending = true;
    const isHeld = await job.extendLock(token, lockMs).catch(onError);
    isPending = false;
    // The end of the entry gives its lock back.
    if (isHeld !== 0 || hasEnded) return;
    clearInterval(timer);
    lost.abort('lock lost');
    onLost();
  };
  // A renewal that waits for Redis delays neither the later ones nor the end of the work.
  const timer = setInterval(() => {
    if (!isPending) void renew();
  }, lockMs / intervalsPerLock).unref();
  try {
    return await work(lost.signal);
  } finally {
    hasEnded = true;
    clearInterval(timer);
  }
}
