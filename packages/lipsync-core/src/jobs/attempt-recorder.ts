import type { Logger } from '../contract/ports.ts';
import { errorPolicies } from '../errors/index.ts';
import { withoutUrls } from '../net/url-policy.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { LateCost } from '../providers/settlement-reconciler.ts';
import type { JobEvent } from './job-events.ts';
import { logFields } from './job-log.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { RunSuperseded } from './stop-signal.ts';

/** Appends an event of a run. Throws `RunSuperseded` if a later run has taken over the job. */
export async function appendForRun(
  store: Pick<JobStore, 'append'>,
  { id, runs }: Pick<JobRecord, 'id' | 'runs'>,
  event: JobEvent,
): Promise<JobRecord> {
  const record = await store.append(id, event);
  if (record.runs !== runs) throw new RunSuperseded();
  return record;
}

/** Throws `RunSuperseded` if a later run has taken over the job. */
export async function requireCurrentRun(
  store: Pick<JobStore, 'get'>,
  { id, runs }: Pick<JobRecord, 'id' | 'runs'>,
): Promise<void> {
  const record = await store.get(id);
  if (record && record.runs !== runs) throw new RunSuperseded();
}

export interface AttemptRecorderOptions {
  readonly store: Pick<JobStore, 'append'>;
  readonly logger: Logger;
}

/** Stores the attempts of a run. Logs rejected takes, and an alert for each error that an operator has to fix. */
export class AttemptRecorder {
  readonly #record: JobRecord<'lipsync'>;
  readonly #options: AttemptRecorderOptions;
  #latest: readonly Attempt[];

  constructor(record: JobRecord<'lipsync'>, options: AttemptRecorderOptions) {
    this.#record = record;
    this.#options = options;
    this.#latest = record.attempts;
  }

  /** Attempts as last passed to `save`. */
  get latest(): readonly Attempt[] {
    return this.#latest;
  }

  /** Returns the record after the change. Throws the errors of `appendForRun`. */
  async save(attempts: readonly Attempt[]): Promise<JobRecord> {
    const before = this.#latest;
    this.#latest = attempts;
    const event = { type: 'attempts_changed', run: this.#record.runs, attempts } as const;
    const record = await appendForRun(this.#options.store, this.#record, event);
    attempts.forEach((attempt, index) => this.#report(attempt, before[index]));
    return record;
  }

  #report({ provider, code, message }: Attempt, before: Attempt | undefined): void {
    if (code === null || before?.code === code) return;
    const { logger } = this.#options;
    const fields = { ...logFields(this.#record), provider, code, reason: message && withoutUrls(message) };
    if (code === 'quality_rejected') logger.info(fields, 'a take was rejected for its quality');
    if (!errorPolicies[code].alert) return;
    logger.error({ ...fields, alert: true }, 'an attempt failed with an error that an operator has to fix');
  }
}

/**
 * Records the cost of an attempt that became known after the attempt ended. Returns false if the attempt is still open:
 * the cost has to be reported again later. A job that no longer exists needs no record.
 */
export async function recordLateCost(
  store: Pick<JobStore, 'get' | 'append'>,
  { jobId, index, costMicros }: LateCost,
): Promise<boolean> {
  const record = await store.get(jobId);
  if (record?.kind !== 'lipsync') return true;
  if (record.attempts[index]?.outcome === 'running') return false;
  await store.append(jobId, { type: 'attempt_settled', index, costMicros });
  return true;
}
