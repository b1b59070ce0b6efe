import { LipsyncError } from '../errors/index.ts';
import type { Clock, Logger } from '../ports/ports.ts';
import { deadlineSignal, type DeadlineSignal } from './deadline-signal.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { superseded } from './store-failure.ts';

export interface StopWatcherDependencies {
  readonly store: Pick<JobStore, 'get'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cancelPollMs: number;
}

/**
 * A signal that fires when the job was canceled, was taken over or reached its deadline, with that error as its reason.
 * The caller ends it.
 */
export function watchForStop({ store, clock, cancelPollMs, logger }: StopWatcherDependencies, record: JobRecord): DeadlineSignal {
  const controller = new AbortController();
  const poll = setInterval(() => void look(), cancelPollMs);
  const deadline = deadlineSignal(record.deadlineAtMs === null ? null : record.deadlineAtMs - clock.nowMs());

  async function look(): Promise<void> {
    try {
      const now = await store.get(record.id);
      if (now?.cancelRequested) controller.abort(new LipsyncError('canceled', 'The job was canceled.'));
      if (now && now.runs !== record.runs) controller.abort(superseded);
    } catch (error) {
      logger.warn({ jobId: record.id, error }, 'the job could not be looked up');
    }
  }

  return {
    signal: AbortSignal.any([controller.signal, deadline.signal]),
    end() {
      clearInterval(poll);
      deadline.end();
    },
  };
}
