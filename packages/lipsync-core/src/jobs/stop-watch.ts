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
  readonly cancelPollMs: number;
}

export interface StopWatch {
  /** Fires when the job was canceled, was taken over or reached its deadline, with that error as its reason. */
  readonly signal: AbortSignal;
  /** Takes notice of the record as it now stands, whoever read it: `signal` fires before the next look. */
  heed(now: JobRecord): void;
  end(): void;
}

/** Looks after whether a job that is worked on is still wanted. The caller ends it. */
export function watchForStop(
  { store, clock, cancelPollMs, logger }: StopWatcherDependencies,
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
      logger.warn({ jobId: record.id, error }, 'the job could not be looked up');
    }
  }

  return {
    signal: AbortSignal.any([controller.signal, deadline.signal]),
    heed,
    end() {
      clearInterval(poll);
      deadline.end();
    },
  };
}
