import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock, Logger } from '../contract/ports.ts';
import { StorageError, toLipsyncError, type LipsyncError } from '../errors/index.ts';
import { createFolder, keptTakePath, removeJobWorkspaces } from '../processes/workspace.ts';
import { moveDurably } from '../storage/durable-files.ts';
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
  /** Returns the `outputKey` of a job if its output is already in place; nothing is found without it. */
  findPublished?(record: JobRecord): Promise<string | undefined>;
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

  /**
   * Publishes the take that an earlier run of the job kept, as `publish` does; undefined without such a take. Throws a
   * `StorageUnavailable` if it cannot be known whether that run has published the take.
   */
  async publishKept(run: PublishingRun): Promise<JobEvent | undefined> {
    const { id, keptTake } = run.record;
    if (!keptTake) return undefined;
    const takePath = keptTakePath(this.#folder, id);
    if (await exists(takePath)) return this.publish({ type: 'made', takePath, ...keptTake }, run);
    // That run was killed after it had published the take, before it could record it.
    await this.checkStorage();
    const outputKey = await this.#findPublished(run.record);
    return outputKey === undefined ? undefined : this.#complete(outputKey, keptTake, run.record);
  }

  /** Returns the event that completes the job, or the one that parks it. Throws errors that no later run can correct. */
  async publish(made: PipelineResult, run: PublishingRun): Promise<JobEvent> {
    const { type: _, takePath, ...take } = made;
    const { publish, isPublishRetried = (error) => error instanceof StorageError } = this.#options;
    const { record } = run;
    try {
      return this.#complete(await publish(takePath, record), take, record);
    } catch (thrown) {
      // A run that this one has superseded may have published the take in the meantime.
      const outputKey = (await exists(takePath)) ? undefined : await this.#findPublished(record);
      if (outputKey !== undefined) return this.#complete(outputKey, take, record);
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

  #complete(outputKey: string, take: MadeTake, { runs }: JobRecord): JobEvent {
    const { warnings, attemptIndex: _, ...result } = take;
    const atMs = this.#options.clock.nowMs();
    return { type: 'completed', run: runs, atMs, result: { ...result, cached: false, outputKey }, warnings };
  }

  async #findPublished(record: JobRecord): Promise<string | undefined> {
    return this.#options.findPublished?.(record).catch(() => undefined);
  }

  /** Returns whether the take could be kept. If not, the next run makes it again; a take that is paid for is collected. */
  async #keep(takePath: string, record: JobRecord): Promise<boolean> {
    const keptPath = keptTakePath(this.#folder, record.id);
    try {
      await createFolder(dirname(keptPath));
      await moveDurably(takePath, keptPath);
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

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Returns whether a provider has accepted the job, so that its next run pays for nothing new. Pure. */
export function isAccepted({ attempts }: Pick<JobRecord, 'attempts'>): boolean {
  const last = attempts.at(-1);
  return last !== undefined && last.operation !== null && ['running', 'succeeded'].includes(last.outcome);
}
