import type { Logger } from '../contract/ports.ts';
import { alertOfAttempts } from './alerts.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { superseded } from '../storage/store-failure.ts';
import type { Attempt } from '../providers/attempt.ts';

export interface RunReportDependencies {
  /** As `markStoreFailures` returns it. */
  readonly store: Pick<JobStore, 'append'>;
  readonly logger: Logger;
}

/** Throws `superseded` where another run took over: what this one wants to do next is not its to do. */
export async function tell(
  store: RunReportDependencies['store'],
  { id, runs: run }: JobRecord,
  event: JobEvent,
): Promise<JobRecord> {
  const left = await store.append(id, event);
  if (left.runs !== run) throw superseded;
  return left;
}

/** Records how the attempts of a run stand, and writes a line for each end that a person has to hear of. */
export interface AttemptSaver {
  /** As they were last given to be saved. */
  readonly latest: readonly Attempt[];
  /** Returns the record as it now stands. Throws as `tell` does. */
  save(attempts: readonly Attempt[]): Promise<JobRecord>;
}

export function createAttemptSaver({ store, logger }: RunReportDependencies, record: JobRecord): AttemptSaver {
  let latest = record.attempts;
  return {
    get latest() {
      return latest;
    },
    async save(attempts) {
      const before = latest;
      latest = attempts;
      const left = await tell(store, record, { type: 'attempts_changed', run: record.runs, attempts });
      alertOfAttempts(logger, record.id, before, attempts);
      return left;
    },
  };
}
