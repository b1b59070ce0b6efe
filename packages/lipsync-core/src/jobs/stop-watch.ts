import { LipsyncError } from '../errors/index.ts';
import type { Clock, Logger } from '../contract/ports.ts';
import { deadlineSignal } from './deadline-signal.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { superseded } from '../storage/store-failure.ts';

export interface StopWatcherDependencies {
  readonly store: Pick<JobStore, 'get'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Interval at which the record is read when no notification arrives. */
  readonly cancelPollMs: number;
  /** Calls `onChange` when the job may have been canceled or claimed by another run; without it, only the poll detects that. */
  watchCancel?(jobId: string, onChange: () => void): () => void;
}

export interface StopWatch {
  /** Aborts when the job was canceled, was claimed by another run or reached its deadline, with that error as its reason. */
  readonly signal: AbortSignal;
  /** Aborts `signal` if this newer state of the record requires it. */
  heed(now: JobRecord): void;
  end(): void;
}

/** Watches whether a running job must stop. The caller ends it. */
export function watchForStop(
  { store, clock, cancelPollMs, logger, watchCancel }: StopWatcherDependencies,
  record: JobRecord,
): StopWatch {
  const controller = new AbortController();
  const poll = setInterval(() => void look(), cancelPollMs);
  const deadline = deadlineSignal(record.deadlineAtMs === null ? null : record.deadlineAtMs - clock.nowMs());

  function heed({ cancelRequested, runs }: JobRecord): void {
    if (cancelRequested) controller.abort(new LipsyncError('canceled', 'The job was canceled.'));
    if (runs !== record.runs) controller.abort(superseded);
  }

  async function look(): Promise<void> {
    try {
      const now = await store.get(record.id);
      if (now) heed(now);
    } catch (error) {
      logger.warn({ jobId: record.id, error }, 'job record not readable while checking for a cancel');
    }
  }

  const unwatch = watchCancel?.(record.id, () => void look());
  // A cancel may have arrived between the start of the run and the subscription.
  if (unwatch) void look();

  return {
    signal: AbortSignal.any([controller.signal, deadline.signal]),
    heed,
    end() {
      clearInterval(poll);
      unwatch?.();
      deadline.end();
    },
  };
}
