import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Warning } from '../contract/provider-types.ts';
import { abortError, LipsyncError, StorageError, toLipsyncError, toStorageError } from '../errors/index.ts';
import type { OutputFingerprints } from '../fingerprint/output-fingerprints.ts';
import type { MarkedFile, OutputMarker } from '../marking/output-marker.ts';
import { candidatePath, createFolder, keptTakePath, removeJobWorkspaces, workStorage } from '../processes/workspace.ts';
import type { ArtifactStore } from '../storage/artifact-store.ts';
import { moveDurably } from '../storage/durable-files.ts';
import { failStorage, StorageUnavailable, StoreFailure } from '../storage/store-failure.ts';
import { traced } from '../tracing/spans.ts';
import { appendForRun } from './attempt-recorder.ts';
import type { RunStore } from './job-handler.ts';
import { logFields } from './job-log.ts';
import type { OutputLabeler } from './output-labels.ts';
import type { InputFiles } from './input-fetcher.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord, MadeTake } from './job-record.ts';
import { findAcceptedTake, findFinishedTake } from './made-take.ts';
import type { KeptTakes, PipelineResult } from './pipeline-types.ts';
import { notLabeledWarning, notMarkedWarning } from './missing-marks.ts';
import { retryMediaStep } from './prepared-inputs.ts';
import { exists, SharedTakes } from './shared-takes.ts';
import { RunSuperseded, transferSignalOf, transferTake } from './stop-signal.ts';
import { StorageWait, type StorageWaitOptions, type WaitingRun } from './storage-wait.ts';

export interface TakePublisherOptions extends StorageWaitOptions {
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Folder for takes that cannot be published yet; `workFolder` by default. */
  readonly keptTakeFolder?: string;
  /** Rejected takes are kept here where the machines that run a job have different folders. */
  readonly sharedTakes?: Pick<ArtifactStore, 'delete' | 'materialize' | 'publish'> | undefined;
  /** Draws visible labels over takes of vendors before they are signed; none is drawn without it. */
  readonly labeler?: Pick<OutputLabeler, 'label'> | undefined;
  /** Signs outputs before they are published; none is signed without it. */
  readonly marker?: (Pick<OutputMarker, 'mark'> & Partial<Pick<OutputMarker, 'isRequired'>>) | undefined;
  /** Stores what finds a copy of an output again; nothing does without it. */
  readonly fingerprints?: Pick<OutputFingerprints, 'save' | 'delete'> | undefined;
  /** Moves a finished take to its final place and returns its `outputKey`. Throws the reason of an aborted signal. */
  publish(takePath: string, record: JobRecord<'lipsync'>, signal: AbortSignal): Promise<string>;
  /** Returns the `outputKey` of a job if its output is already in place; nothing is found without it. */
  findPublished?(record: JobRecord<'lipsync'>): Promise<string | undefined>;
  /** Whether a later run may publish the take; by default after a `StorageError` and `resource_exhausted`. */
  isPublishRetried?(error: LipsyncError): boolean;
}

/** The run that publishes. `signal` aborts when it has to end. */
type PublishingRun = WaitingRun & {
  readonly record: JobRecord<'lipsync'>;
  readonly context: { readonly signal: AbortSignal };
  readonly store: RunStore;
  readonly signal?: AbortSignal;
  /** Absent in a run that ends the job without its inputs. */
  fetchInputs?(): Promise<InputFiles>;
};

type TakeRun = Pick<PublishingRun, 'record' | 'context' | 'signal'>;

/** Publishes the finished take of a job. Until that is possible, keeps it and parks the job. */
export class TakePublisher {
  readonly #options: TakePublisherOptions;
  readonly #storage: StorageWait;
  readonly #shared: SharedTakes;

  constructor(options: TakePublisherOptions) {
    this.#options = options;
    this.#storage = new StorageWait(options);
    this.#shared = new SharedTakes({ ...options, artifacts: options.sharedTakes, folder: this.#folder });
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
    if (await this.#provide(keptTake, run).catch(failStorage))
      return this.publish({ type: 'made', takePath, ...keptTake }, run);
    // That run was killed after it had published the take, before it could record it.
    await this.#storage.check();
    const outputKey = await this.#findPublished(run.record);
    return outputKey === undefined ? undefined : this.#complete(outputKey, withMarkWarnings(keptTake, run), run.record);
  }

  /**
   * Returns the event that completes the job with the take that its earlier runs have made, because it ends without
   * another one; undefined if there is none or it cannot be published now. Throws a `StoreFailure` of the job store.
   */
  async publishFinished(run: PublishingRun): Promise<JobEvent | undefined> {
    const { id, attempts, keptTake } = run.record;
    const finished = keptTake ?? findFinishedTake(attempts);
    if (!finished) return undefined;
    const takePath = this.#pathOf(id, finished);
    const event = await this.#provide(finished, run)
      .then(() => this.publish({ type: 'made', takePath, ...finished }, run))
      .catch((error: unknown) => {
        if (error instanceof StoreFailure && !(error instanceof StorageUnavailable)) throw error;
        this.#options.logger.warn({ ...logFields(run.record), error }, 'the finished take could not be published');
      });
    return event?.type === 'completed' ? event : undefined;
  }

  /** The kept takes of a job, for the run that makes them. */
  keptTakesOf(run: TakeRun): KeptTakes {
    const { record } = run;
    const { id: jobId } = record;
    const pathOf = (index: number): string => candidatePath(this.#folder, jobId, index);
    return {
      pathOf,
      keep: async (takePath, index) => {
        await this.#move(takePath, pathOf(index), record);
        return pathOf(index);
      },
      share: (index) =>
        transferTake(run, (signal) =>
          this.#shared.share({ jobId, attemptIndex: index }, { path: pathOf(index), signal }),
        ),
      find: async (index) => ((await this.#provide({ attemptIndex: index }, run)) ? pathOf(index) : undefined),
      remove: async (index) => {
        await rm(pathOf(index), { force: true }).catch(() => undefined);
        await this.#shared.remove({ jobId, attemptIndex: index });
      },
    };
  }

  /** Returns the event that completes the job, or the one that parks it. Throws errors that no later run can correct. */
  async publish(made: PipelineResult, run: PublishingRun): Promise<JobEvent> {
    const { type: _, takePath, fingerprint: _1, expectedPicture: _2, errorIfLost, ...take } = made;
    const { publish, isPublishRetried = isTransient } = this.#options;
    const { record } = run;
    const stop = transferSignalOf(run);
    let published = withMarkWarnings(take, run);
    // Beside the label and the mark, which read the same take.
    const saved = traced('save fingerprint', {}, () => this.#saveFingerprint(made, run));
    // Handles a rejection also while the take is still being marked.
    const settled = Promise.allSettled([saved]);
    try {
      const labeled = await traced('label output', {}, () => this.#label(made, run));
      const labeledPath = labeled?.path ?? takePath;
      const marked = await traced('mark output', {}, () => this.#mark(made, labeledPath, run));
      if (labeled ?? marked) {
        const warnings = [...(labeled?.warnings ?? []), ...(marked?.warnings ?? [])];
        await this.#recordWarnings(warnings, run);
        published = { ...take, warnings: [...take.warnings, ...warnings] };
      }
      const path = marked?.path ?? labeledPath;
      await saved;
      const outputKey = await traced('publish output', {}, () => publish(path, record, stop));
      for (const other of [takePath, labeledPath])
        if (other !== path) await rm(other, { force: true }).catch(() => undefined);
      return this.#complete(outputKey, published, record);
    } catch (thrown) {
      // Not stored later than it may be deleted below.
      await settled;
      if (thrown instanceof MarkingStopped) throw thrown.cause;
      if (thrown instanceof RunSuperseded || thrown instanceof StoreFailure) throw thrown;
      // A run that this one has superseded may have published the take in the meantime.
      const isLost = !(await exists(takePath));
      const outputKey = isLost ? await this.#findPublished(record) : undefined;
      if (outputKey !== undefined) return this.#complete(outputKey, published, record);
      if (isLost && errorIfLost) throw errorIfLost;
      const error = toLipsyncError(thrown);
      const isRetried = isPublishRetried(error);
      if (stop.aborted && !isRetried && error.code !== 'not_found')
        throw stop.reason instanceof StoreFailure ? stop.reason : abortError(stop);
      // Best effort: where it remains, the erasure of the job deletes it. Nothing does for a job that was erased before.
      if (!isRetried || error.code === 'not_found')
        await this.#options.fingerprints?.delete(record.id).catch(() => undefined);
      if (!isRetried) throw error;
      return this.#storage.park(error, run, (await this.#keep(made, record)) ? take : undefined);
    }
  }

  /**
   * Writes the labeled copy of a take; undefined where nothing is drawn. A take that cannot be labeled is published as it
   * is, with a warning. Throws a `StorageError` if the copy cannot be written, and `MarkingStopped`.
   */
  async #label({ takePath, methodUsed }: PipelineResult, run: PublishingRun): Promise<MarkedFile | undefined> {
    const { labeler, logger } = this.#options;
    if (!labeler || !(await exists(takePath))) return undefined;
    const { options } = run.record.spec;
    const stop = stopOf(run);
    try {
      const label = () => labeler.label(takePath, { provider: methodUsed, options }, stop);
      const path = await retryMediaStep(stop, label);
      return path === undefined ? undefined : { path, warnings: [] };
    } catch (thrown) {
      const error = this.#toStepError(thrown, stop);
      logger.error({ ...logFields(run.record), code: error.code, error }, 'the output could not be labeled');
      return { path: takePath, warnings: [notLabeledWarning(error)] };
    }
  }

  /** Throws a `StorageError`, and `MarkingStopped` if the run has ended. Returns any other error. */
  #toStepError(thrown: unknown, stop: AbortSignal): LipsyncError {
    if (stop.aborted) throw new MarkingStopped('The run ended.', { cause: abortError(stop) });
    const error = toLipsyncError(toStorageError(thrown, workStorage(this.#folder)));
    if (error instanceof StorageError) throw error;
    return error;
  }

  /**
   * Writes the marked copy of a take; undefined where none is marked, and for a take that is no longer there. A take
   * that cannot be marked is published as it is, with a warning. Throws a
   * `StorageError` if the copy cannot be written, `MarkingStopped`, and `marking_failed` where marks are required.
   */
  async #mark(
    { methodUsed, takePath: vendorTakePath }: PipelineResult,
    takePath: string,
    run: PublishingRun,
  ): Promise<MarkedFile | undefined> {
    const { record } = run;
    const { logger, marker } = this.#options;
    if (!marker || !(await exists(takePath))) return undefined;
    const stop = stopOf(run);
    try {
      // Inputs that were deleted in the meantime are named without their marks.
      const inputs: InputFiles = (await run.fetchInputs?.().catch(() => undefined)) ?? {};
      const [clipPath, speechPath] = [inputs.video?.path ?? null, inputs.audio?.path ?? null];
      const { aigcProducer } = record.spec.options;
      const take = { takePath, vendorTakePath, provider: methodUsed, clipPath, speechPath, aigcProducer };
      return await retryMediaStep(stop, () => marker.mark(take, stop));
    } catch (thrown) {
      const error = this.#toStepError(thrown, stop);
      logger.error({ ...logFields(record), code: error.code, error }, 'the output could not be marked');
      if (marker.isRequired)
        throw new LipsyncError('marking_failed', `The output could not be marked. ${error.message}`, { cause: error });
      return { path: takePath, warnings: [notMarkedWarning(error)] };
    }
  }

  /** Called before the output is published: a run that is killed afterwards leaves nothing but the output. */
  async #recordWarnings(warnings: readonly Warning[], { record, store }: PublishingRun): Promise<void> {
    if (warnings.length === 0 && !record.markWarnings) return;
    await appendForRun(store, record, { type: 'marked', run: record.runs, warnings });
  }

  /** Before the output is published, so that each published one is found. Best effort: an output without it is valid. */
  async #saveFingerprint(made: PipelineResult, run: PublishingRun): Promise<void> {
    const { takePath, fingerprint, expectedPicture } = made;
    const { fingerprints, logger } = this.#options;
    if (!fingerprints || !(await exists(takePath))) return;
    const stop = stopOf(run);
    try {
      await fingerprints.save({ takePath, fingerprint, expectedPicture }, run.record, stop);
    } catch (error) {
      if (stop.aborted) throw new MarkingStopped('The run ended.', { cause: abortError(stop) });
      logger.warn({ ...logFields(run.record), error }, 'the fingerprint of the output could not be stored');
    }
  }

  /** Removes the kept takes of a job that has ended, and the fingerprint of an output that it has not delivered. */
  async remove({ id: jobId, runs, attempts, status }: JobRecord<'lipsync'>): Promise<void> {
    if (status !== 'completed') await this.#options.fingerprints?.delete(jobId).catch(() => undefined);
    await removeJobWorkspaces(this.#folder, { id: jobId, runs }).catch((error: unknown) =>
      this.#options.logger.warn({ jobId, error }, 'work files remain'),
    );
    for (const [index, { code }] of attempts.entries())
      if (code === 'quality_rejected') await this.#shared.remove({ jobId, attemptIndex: index });
  }

  /** Fetches a shared take unless it is on this machine; returns whether it is there now. Throws a `StorageError`. */
  async #provide(take: Pick<MadeTake, 'attemptIndex'>, run: TakeRun): Promise<boolean> {
    const { id: jobId } = run.record;
    const { attemptIndex } = take;
    const path = this.#pathOf(jobId, take);
    if (await exists(path)) return true;
    if (attemptIndex === undefined) return false;
    return transferTake(run, (signal) => this.#shared.fetch({ jobId, attemptIndex }, { path, signal }));
  }

  #complete(outputKey: string, take: MadeTake, { runs }: JobRecord<'lipsync'>): JobEvent {
    const { warnings, attemptIndex: _, ...result } = take;
    const atMs = this.#options.clock.nowMs();
    return { type: 'completed', run: runs, atMs, result: { ...result, cached: false, outputKey }, warnings };
  }

  /** Throws a `StorageUnavailable` if the store cannot be read. */
  async #findPublished(record: JobRecord<'lipsync'>): Promise<string | undefined> {
    return this.#options.findPublished?.(record).catch(failStorage);
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

  #pathOf(jobId: string, { attemptIndex }: Pick<MadeTake, 'attemptIndex'>): string {
    return attemptIndex === undefined
      ? keptTakePath(this.#folder, jobId)
      : candidatePath(this.#folder, jobId, attemptIndex);
  }

  get #folder(): string {
    return this.#options.keptTakeFolder ?? this.#options.workFolder;
  }
}

/** The run ended while its output was marked. `cause` is the error that ends it. */
class MarkingStopped extends Error {}

/** A run whose time is over still delivers what it has made. */
function stopOf({ signal }: Pick<PublishingRun, 'signal'>): AbortSignal {
  return signal?.aborted === false ? signal : new AbortController().signal;
}

/** A take that an earlier run may have published, with the warnings that this run recorded before. */
function withMarkWarnings<Take extends MadeTake>(take: Take, { record }: Pick<PublishingRun, 'record'>): Take {
  return { ...take, warnings: [...take.warnings, ...(record.markWarnings ?? [])] };
}

function isTransient(error: LipsyncError): boolean {
  return error instanceof StorageError || error.code === 'resource_exhausted';
}

/** Returns whether a provider has accepted the job, so that its next run pays for nothing new. Pure. */
export function isAccepted({ attempts }: Pick<JobRecord<'lipsync'>, 'attempts'>): boolean {
  const last = attempts.at(-1);
  return last !== undefined && last.operation !== null && ['running', 'succeeded'].includes(last.outcome);
}
