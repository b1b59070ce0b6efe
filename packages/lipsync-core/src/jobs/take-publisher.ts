import { stat } from 'node:fs/promises';
import type { Clock, Logger } from '../contract/ports.ts';
import { StorageError, toLipsyncError, type LipsyncError } from '../errors/index.ts';
import { keepTake, keptTakePath, removeJobWorkspaces } from '../processes/workspace.ts';
import { failStorage } from '../storage/store-failure.ts';
import { logFields } from './attempt-recorder.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord, MadeTake } from './job-record.ts';
import type { PipelineResult } from './pipeline-types.ts';

/** Pause before a job runs again that waits until files can be stored. */
const storagePauseMs = 10_000;

export interface TakePublisherOptions {
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Folder for takes that cannot be published yet; `workFolder` by default. */
  readonly keptTakeFolder?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Throws a `StorageError` while outputs or work files cannot be written. */
  checkStorage(): Promise<void>;
  /** Moves a finished take to its final place and returns its `outputKey`. */
  publish(takePath: string, record: JobRecord): Promise<string>;
  /** Whether a later run may publish a take that could not be published; by default after a `StorageError`. */
  isPublishRetried?(error: LipsyncError): boolean;
}

/** The run that publishes. */
interface PublishingRun {
  readonly record: JobRecord;
  readonly context: {
    /** Called when the job is parked because files cannot be stored, with the reason. */
    onStorageWait?(error: LipsyncError): void;
  };
}

/** Publishes the finished take of a job. Until that is possible, keeps it and parks the job. */
export class TakePublisher {
  readonly #options: TakePublisherOptions;

  constructor(options: TakePublisherOptions) {
    this.#options = options;
  }

  /** Returns the take that an earlier run of the job kept; undefined without one. */
  async find({ id, keptTake }: JobRecord): Promise<PipelineResult | undefined> {
    const takePath = keptTakePath(this.#folder, id);
    if (!keptTake || (await stat(takePath).catch(() => null)) === null) return undefined;
    return { type: 'made', takePath, ...keptTake };
  }

  /** Returns the event that completes the job, or the one that parks it. Throws errors that no later run can correct. */
  async publish(made: PipelineResult, run: PublishingRun): Promise<JobEvent> {
    const { type: _, takePath, ...take } = made;
    const { publish, clock, isPublishRetried = (error) => error instanceof StorageError } = this.#options;
    const { record } = run;
    try {
      const outputKey = await publish(takePath, record);
      const { warnings, ...result } = take;
      const atMs = clock.nowMs();
      return { type: 'completed', run: record.runs, atMs, result: { ...result, cached: false, outputKey }, warnings };
    } catch (thrown) {
      const error = toLipsyncError(thrown);
      if (!isPublishRetried(error)) throw error;
      return this.park(error, run, (await this.#keep(takePath, record)) ? take : undefined);
    }
  }

  /** Returns the event that parks a job until files can be stored, no longer than until its deadline. */
  park(error: LipsyncError, { record, context }: PublishingRun, keptTake?: MadeTake): JobEvent {
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

  /** Throws a `StorageUnavailable` while outputs or work files cannot be written. */
  checkStorage(): Promise<void> {
    return this.#options.checkStorage().catch(failStorage);
  }

  /** Removes the kept take of a job that has ended. */
  async remove(jobId: string): Promise<void> {
    await removeJobWorkspaces(this.#folder, jobId).catch((error: unknown) =>
      this.#options.logger.warn({ jobId, error }, 'work files remain'),
    );
  }

  /** Returns whether the take could be kept. If not, the next run makes it again; a take that is paid for is collected. */
  async #keep(takePath: string, record: JobRecord): Promise<boolean> {
    try {
      await keepTake(takePath, this.#folder, record.id);
      return true;
    } catch (error) {
      this.#options.logger.warn({ ...logFields(record), error }, 'the take could not be kept');
      return false;
    }
  }

  get #folder(): string {
    return this.#options.keptTakeFolder ?? this.#options.workFolder;
  }
}

/** Returns whether a provider has accepted the job, so that its next run pays for nothing new. Pure. */
export function isAccepted({ attempts }: Pick<JobRecord, 'attempts'>): boolean {
  const last = attempts.at(-1);
  return last !== undefined && last.operation !== null && ['running', 'succeeded'].includes(last.outcome);
}
