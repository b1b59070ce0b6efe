import type { Clock, Logger } from '../contract/ports.ts';
import type { LipsyncError } from '../errors/index.ts';
import { failStorage } from '../storage/store-failure.ts';
import { logFields } from './job-log.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord, MadeTake } from './job-record.ts';

/** Pause before a job runs again that waits until files can be stored. */
const storagePauseMs = 10_000;

export interface StorageWaitOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Throws a `StorageError` while outputs or work files cannot be written. */
  checkStorage(): Promise<void>;
}

/** The run of a job that has to wait. */
export interface WaitingRun {
  readonly record: JobRecord;
  readonly context: {
    /** Called when the job is parked because files cannot be stored, with the reason. */
    onStorageWait?(error: LipsyncError): void;
  };
}

/** Parks jobs until files can be stored. */
export class StorageWait {
  readonly #options: StorageWaitOptions;

  constructor(options: StorageWaitOptions) {
    this.#options = options;
  }

  /** Throws a `StorageUnavailable` while outputs or work files cannot be written. */
  check(): Promise<void> {
    return this.#options.checkStorage().catch(failStorage);
  }

  /** Returns the event that parks a job until files can be stored, no longer than until its deadline. */
  park(error: LipsyncError, { record, context }: WaitingRun, keptTake?: MadeTake): JobEvent {
    const { clock, logger } = this.#options;
    const state = keptTake ? 'The take is finished and waits to be published.' : 'Waiting until files can be stored.';
    const message = `${state} ${error.message}`;
    // Not in every run that finds the same state.
    if (message !== record.message)
      logger.warn({ ...logFields(record), code: error.code, error }, 'the job waits until files can be stored');
    context.onStorageWait?.(error);
    const untilMs = Math.min(clock.nowMs() + storagePauseMs, record.deadlineAtMs ?? Infinity);
    const wait = { waitsForStorage: true, ...(keptTake && { keptTake }) } as const;
    return { type: 'parked', run: record.runs, untilMs, message, ...wait };
  }
}
