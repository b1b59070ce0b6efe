import { rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StorageError, toLipsyncError, toStorageError, type LipsyncError } from '../errors/index.ts';
import { candidatePath, createFolder, keptTakePath, removeJobWorkspaces, workStorage } from '../processes/workspace.ts';
import { moveDurably } from '../storage/durable-files.ts';
import { logFields } from './job-log.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord, MadeTake } from './job-record.ts';
import { findAcceptedTake, findFinishedTake } from './made-take.ts';
import type { KeptTakes, PipelineResult } from './pipeline-types.ts';
import { StorageWait, type StorageWaitOptions, type WaitingRun } from './storage-wait.ts';

export interface TakePublisherOptions extends StorageWaitOptions {
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Folder for takes that cannot be published yet; `workFolder` by default. */
  readonly keptTakeFolder?: string;
  /** Moves a finished take to its final place and returns its `outputKey`. */
  publish(takePath: string, record: JobRecord<'lipsync'>): Promise<string>;
  /** Returns the `outputKey` of a job if its output is already in place; nothing is found without it. */
  findPublished?(record: JobRecord<'lipsync'>): Promise<string | undefined>;
  /** Whether a later run may publish a take that could not be published; by default after a `StorageError`. */
  isPublishRetried?(error: LipsyncError): boolean;
}

/** The run that publishes. */
type PublishingRun = WaitingRun & { readonly record: JobRecord<'lipsync'> };

/** Publishes the finished take of a job. Until that is possible, keeps it and parks the job. */
export class TakePublisher {
  readonly #options: TakePublisherOptions;
  readonly #storage: StorageWait;

  constructor(options: TakePublisherOptions) {
    this.#options = options;
    this.#storage = new StorageWait(options);
  }

  /**
   * Publishes the take that an earlier run of the job kept, as `publish` does; undefined without such a take. Throws a
   * `StorageUnavailable` if it cannot be known whether that run has published the take.
   */
  async publishKept(run: PublishingRun): Promise<JobEvent | undefined> {
    const { id, attempts } = run.record;
    const keptTake = run.record.keptTake ?? findAcceptedTake(attempts);
    if (!keptTake) return undefined;
    const takePath = this.#pathOf(id, keptTake);
    if (await exists(takePath)) return this.publish({ type: 'made', takePath, ...keptTake }, run);
    // That run was killed after it had published the take, before it could record it.
    await this.#storage.check();
    const outputKey = await this.#findPublished(run.record);
    return outputKey === undefined ? undefined : this.#complete(outputKey, keptTake, run.record);
  }

  /**
   * Returns the event that completes the job with the take that its earlier runs have made, because it ends without
   * another one; undefined if there is none or it cannot be published now.
   */
  async publishFinished(run: PublishingRun): Promise<JobEvent | undefined> {
    const { id, attempts, keptTake } = run.record;
    const finished = keptTake ?? findFinishedTake(attempts);
    if (!finished) return undefined;
    const takePath = this.#pathOf(id, finished);
    const event = await this.publish({ type: 'made', takePath, ...finished }, run).catch((error: unknown) =>
      this.#options.logger.warn({ ...logFields(run.record), error }, 'the finished take could not be published'),
    );
    return event?.type === 'completed' ? event : undefined;
  }

  /** The kept takes of a job, for the run that makes them. */
  keptTakesOf(record: JobRecord<'lipsync'>): KeptTakes {
    const pathOf = (index: number): string => candidatePath(this.#folder, record.id, index);
    return {
      pathOf,
      keep: async (takePath, index) => {
        await this.#move(takePath, pathOf(index), record);
        return pathOf(index);
      },
      exists: (index) => exists(pathOf(index)),
      remove: (index) => rm(pathOf(index), { force: true }).catch(() => undefined),
    };
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
      return this.#storage.park(error, run, (await this.#keep(made, record)) ? take : undefined);
    }
  }

  /** Removes the kept take of a job that has ended. */
  async remove(jobId: string): Promise<void> {
    await removeJobWorkspaces(this.#folder, jobId).catch((error: unknown) =>
      this.#options.logger.warn({ jobId, error }, 'work files remain'),
    );
  }

  #complete(outputKey: string, take: MadeTake, { runs }: JobRecord<'lipsync'>): JobEvent {
    const { warnings, attemptIndex: _, ...result } = take;
    const atMs = this.#options.clock.nowMs();
    return { type: 'completed', run: runs, atMs, result: { ...result, cached: false, outputKey }, warnings };
  }

  async #findPublished(record: JobRecord<'lipsync'>): Promise<string | undefined> {
    return this.#options.findPublished?.(record).catch(() => undefined);
  }

  /** Returns whether the take could be kept. If not, the next run makes it again; a take that is paid for is collected. */
  async #keep({ takePath, ...take }: PipelineResult, record: JobRecord<'lipsync'>): Promise<boolean> {
    const keptPath = this.#pathOf(record.id, take);
    if (takePath === keptPath) return true;
    return this.#move(takePath, keptPath, record).then(
      () => true,
      () => false,
    );
  }

  /** Throws a `StorageError`. */
  async #move(takePath: string, keptPath: string, record: JobRecord<'lipsync'>): Promise<void> {
    try {
      await createFolder(dirname(keptPath));
      await moveDurably(takePath, keptPath);
    } catch (error) {
      this.#options.logger.warn({ ...logFields(record), error }, 'the take could not be kept');
      throw toStorageError(error, workStorage(this.#folder));
    }
  }

  #pathOf(jobId: string, { attemptIndex }: MadeTake): string {
    return attemptIndex === undefined
      ? keptTakePath(this.#folder, jobId)
      : candidatePath(this.#folder, jobId, attemptIndex);
  }

  get #folder(): string {
    return this.#options.keptTakeFolder ?? this.#options.workFolder;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Returns whether a provider has accepted the job, so that its next run pays for nothing new. Pure. */
export function isAccepted({ attempts }: Pick<JobRecord<'lipsync'>, 'attempts'>): boolean {
  const last = attempts.at(-1);
  return last !== undefined && last.operation !== null && ['running', 'succeeded'].includes(last.outcome);
}
