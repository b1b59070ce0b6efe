import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LipsyncOptions } from '../contract/index.ts';
import type { Clock, IdSource } from '../contract/ports.ts';
import { silentLogger } from '../contract/system-ports.ts';
import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { applyJobEvent } from '../jobs/job-events.ts';
import type { BatchReference } from '../jobs/batch-summary.ts';
import { isTerminal, newJobRecord, requireKind, type JobRecord } from '../jobs/job-record.ts';
import type { OutboxEntry } from '../jobs/job-store.ts';
import { JobRunner, type JobRunnerOptions } from '../jobs/job-runner.ts';
import { LipsyncHandler, type LipsyncHandlerOptions } from '../jobs/lipsync-handler.ts';
import type { LipsyncPipeline } from '../jobs/lipsync-pipeline.ts';
import { toProgressUpdate, type ProgressUpdate } from '../jobs/progress-writer.ts';
import { StateJobStore } from '../jobs/state-job-store.ts';
import { isAccepted } from '../jobs/take-publisher.ts';
import { unacknowledgedRequest } from '../providers/attempt-log.ts';
import { openProcessWorkspace, sweepProcessWorkspaces, workStorage, type Workspace } from '../processes/workspace.ts';
import { requireWritable } from '../storage/folder-check.ts';
import type { StateStore } from '../storage/state-store.ts';
import { guardListener } from './guard-listener.ts';
import { LocalJobIndex, workDigestOf, type LocalJob } from './local-job-index.ts';
import { sweepPartFile, type OutputFiles } from './output-file.ts';
import { openLocalInputs, toInputReference, type LocalDownloadOptions, type LocalInputs } from './local-inputs.ts';
import { hasUnmigratedJob, migrateUnfinishedJobs } from './unfinished-job-migration.ts';

export interface LocalJobInput {
  /** A path, or an http(s) URL. */
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Replace an existing output. */
  readonly overwrite: boolean;
  readonly options: LipsyncOptions;
}

export interface LocalJobContext {
  readonly signal?: AbortSignal;
  /** The batch of the job, if its jobs together have a cap. */
  readonly batch?: BatchReference | undefined;
  onProgress?(update: ProgressUpdate): unknown;
  /** Called before the job starts: `find` returns its record until a day after a crash. */
  onClaimed?(jobId: string): Promise<void>;
  /** Called with the record of a job that has run, before it is deleted. */
  onEnded?(record: JobRecord<'lipsync'>): Promise<void>;
}

export interface LocalJobOutcome {
  readonly record: JobRecord<'lipsync'>;
  /** Why the job did not complete; undefined if it did. */
  readonly error: LipsyncError | undefined;
}

export interface LocalJobsOptions extends Pick<LipsyncHandlerOptions, 'fingerprints' | 'labeler' | 'marker'> {
  /** Holds the records and the index of unfinished work; shared by all processes of the data folder. */
  readonly state: StateStore;
  readonly pipeline: Pick<LipsyncPipeline, 'run' | 'abandon'>;
  readonly outputFiles: OutputFiles;
  readonly consentRequired?: boolean;
  readonly workFolder: string;
  readonly downloads: LocalDownloadOptions;
  readonly clock: Clock;
  readonly ids: IdSource;
  /** How long an operation may run after the last stored change of its job. */
  readonly operationMs: number;
}

/** Other processes do not cancel jobs of this one; the poll only notices a lost lease. */
const cancelPollMs = 30_000;
const progressIntervalMs = 2_000;
const abandonTimeoutMs = 20_000;
const outboxPageSize = 100;

/**
 * Runs jobs inside this process, with the same runner as the queue, over job records in the local state store. A job is
 * deleted when it ends; after a crash its record stays, and the next request for the same work resumes it.
 */
export class LocalJobs {
  readonly #options: LocalJobsOptions;
  readonly #store: StateJobStore;
  readonly #index: LocalJobIndex;

  constructor(options: LocalJobsOptions) {
    const { state, clock, operationMs } = options;
    this.#options = options;
    this.#store = new StateJobStore({ state, clock });
    this.#index = new LocalJobIndex({ state, store: this.#store, clock, operationMs });
  }

  /**
   * Runs a job to its end and writes its output. Errors of the job are in the outcome. Leaves no file unless the job
   * completes, except for a finished take that could not be written to the output: it is kept in the work folder, and
   * the next request for the same work writes it. Never changes or deletes an input.
   */
  async run(input: LocalJobInput, context: LocalJobContext = {}): Promise<LocalJobOutcome> {
    const { clock, ids, outputFiles } = this.#options;
    let record: JobRecord<'lipsync'> = {
      ...newJobRecord({
        id: ids.jobId(),
        options: input.options,
        owner: null,
        nowMs: clock.nowMs(),
        video: toInputReference(input.videoPath),
        audio: toInputReference(input.audioPath),
      }),
      ...(context.batch && { batch: context.batch }),
    };
    let failure: LipsyncError | undefined;
    const onError = (error: LipsyncError): void => void (failure = error);
    const onProgress = guardListener(context.onProgress?.bind(context));
    const { signal } = context;
    let workspace: Workspace | undefined;
    try {
      await outputFiles.requireFree(resolve(input.outputPath), input.overwrite);
      await sweepProcessWorkspaces(this.#options.workFolder);
      workspace = await openProcessWorkspace(this.#options.workFolder);
      const { downloads } = this.#options;
      const inputs = await openLocalInputs(input, { signal, onProgress, workspace, downloads });
      const job = await this.#claim(record, input, inputs);
      record = job.record;
      try {
        await context.onClaimed?.(record.id);
        record = await this.#runClaimed({ claimed: record, input, inputs, workspace, signal, onProgress, onError });
        await context.onEnded?.(record);
      } finally {
        // If the lease cannot be released, it ends with this process.
        await this.#index.release(job.entry).catch(() => undefined);
      }
      if (record.status === 'completed') return { record, error: undefined };
      const error = failure ?? endedEarly();
      return { record: endRecord(record, error, clock.nowMs()), error };
    } catch (thrown) {
      const error = signal?.aborted ? abortError(signal) : toLipsyncError(thrown);
      return { record: endRecord(record, error, clock.nowMs()), error };
    } finally {
      // A folder that cannot be removed is removed by the next sweep.
      await workspace?.remove().catch(() => undefined);
    }
  }

  /** Returns the record of an unfinished job, and of a completed one whose process was killed before it was deleted. */
  async find(jobId: string): Promise<JobRecord<'lipsync'> | undefined> {
    const record = await this.#store.get(jobId);
    return record && requireKind(record, 'lipsync');
  }

  /**
   * Crash recovery: ends the jobs of killed processes that no request will resume, cancels their remote work and
   * deletes their partial files. Also empties the outbox, which nothing in this process reads.
   */
  async sweep(signal: AbortSignal): Promise<void> {
    await migrateUnfinishedJobs(this.#options.state);
    const runner = this.#createRunner({
      workFolder: this.#options.workFolder,
      inputs: { fetch: notRun },
      publish: notRun,
      checkStorage: notRun,
    });
    const reason = new LipsyncError('worker_crashed', 'The process that ran the job died, and no request resumed it.');
    await this.#index.endAbandoned(async ({ entry, record }) => {
      await sweepPartFile(entry);
      await runner.end(record.id, reason, signal);
    });
    await this.#emptyOutbox();
  }

  /** Returns whether no operation of the job can be running any more. */
  async isOver(jobId: string): Promise<boolean> {
    // In this order: a migration in between moves the job to the index.
    if (await hasUnmigratedJob(this.#options.state, jobId)) return false;
    return this.#index.isOver(jobId);
  }

  async #emptyOutbox(): Promise<void> {
    let entries: readonly OutboxEntry[];
    do {
      entries = await this.#store.readOutbox(outboxPageSize);
      await this.#store.ackOutbox(entries.map(({ id }) => id));
    } while (entries.length === outboxPageSize);
  }

  async #claim(fresh: JobRecord<'lipsync'>, input: LocalJobInput, inputs: LocalInputs): Promise<LocalJob> {
    const workDigest = workDigestOf(inputs, input.options);
    await migrateUnfinishedJobs(this.#options.state, workDigest);
    return this.#index.claim(workDigest, fresh, resolve(input.outputPath));
  }

  async #runClaimed({ claimed, input, inputs, workspace, ...caller }: ClaimedRun): Promise<JobRecord<'lipsync'>> {
    const { outputFiles, workFolder } = this.#options;
    const outputPath = resolve(input.outputPath);
    const output = await outputFiles.claim(outputPath, { overwrite: input.overwrite, jobId: claimed.id });
    try {
      const runner = this.#createRunner({
        workFolder: workspace.path,
        inputs: { fetch: async () => inputs },
        async checkStorage() {
          await requireWritable(workStorage(workFolder));
          await output.checkStorage();
        },
        async publish(takePath) {
          await output.publish(takePath);
          return outputPath;
        },
      });
      return await this.#runUntilEnd(runner, claimed.id, caller);
    } finally {
      await output.release();
    }
  }

  async #runUntilEnd(
    runner: JobRunner,
    jobId: string,
    { signal, onProgress, onError }: LocalCaller,
  ): Promise<JobRecord<'lipsync'>> {
    const stop = this.#splitAbort(jobId, signal);
    let storageError: LipsyncError | undefined;
    for (;;) {
      const ran = await runner.run(jobId, {
        signal: stop.release,
        cancelSignal: stop.cancel,
        canRun: () => true,
        onProgress,
        onError,
        onStorageWait: (error) => (storageError = error),
      });
      const record = requireKind(ran, 'lipsync');
      if (isTerminal(record.status)) return record;
      // Only the queue waits for an operator: a caller can correct the output at once.
      if (storageError && !signal?.aborted) {
        onError(withAdvice(storageError, record));
        if (!hasIdleAttempt(record) || isPaid(record)) return record;
        const ended = await runner.end(jobId, storageError, AbortSignal.timeout(abandonTimeoutMs));
        return requireKind(ended, 'lipsync');
      }
      if (record.parkedUntilMs === null) throw endedEarly();
      onProgress(toProgressUpdate({ stage: 'waiting', fraction: 0 }));
      const waitMs = Math.max(0, record.parkedUntilMs - this.#options.clock.nowMs());
      // After an abort, the next run ends the job and what runs remotely for it.
      await sleep(waitMs, undefined, { signal: AbortSignal.any([stop.cancel, stop.release]) }).catch(() => undefined);
      if (signal && stop.release.aborted) throw abortError(signal);
    }
  }

  /**
   * An abort of `signal` cancels the job, but only releases one whose take is paid for and being fetched: the next
   * request for the same work then fetches that take without paying again.
   */
  #splitAbort(jobId: string, signal: AbortSignal | undefined): Record<'cancel' | 'release', AbortSignal> {
    const cancel = new AbortController();
    const release = new AbortController();
    const stop = async (): Promise<void> => {
      const record = await this.#store.get(jobId).catch(() => undefined);
      if (record?.kind === 'lipsync' && isPaid(record)) release.abort();
      else cancel.abort(signal?.reason);
    };
    if (signal?.aborted) cancel.abort(signal.reason);
    else signal?.addEventListener('abort', () => void stop(), { once: true });
    return { cancel: cancel.signal, release: release.signal };
  }

  #createRunner(
    options: Pick<JobRunnerOptions, 'workFolder' | 'inputs' | 'checkStorage'> & Pick<LipsyncHandlerOptions, 'publish'>,
  ): JobRunner {
    const { pipeline, clock, labeler, marker, fingerprints, consentRequired = false } = this.#options;
    const all = {
      ...options,
      keptTakeFolder: this.#options.workFolder,
      isPublishRetried: () => true,
      store: this.#store,
      pipeline,
      labeler,
      marker,
      fingerprints,
      consentRequired,
      clock,
      logger: silentLogger,
      cancelPollMs,
      progressIntervalMs,
      abandonTimeoutMs,
    };
    return new JobRunner({ ...all, handlers: { lipsync: new LipsyncHandler(all) } });
  }
}

/** The caller of a job: what cancels it, and what it reports to. */
interface LocalCaller {
  readonly signal: AbortSignal | undefined;
  onProgress(update: ProgressUpdate): void;
  onError(error: LipsyncError): void;
}

interface ClaimedRun extends LocalCaller {
  readonly claimed: JobRecord<'lipsync'>;
  readonly input: LocalJobInput;
  readonly inputs: LocalInputs;
  readonly workspace: Workspace;
}

/** Returns the record of a job that ended outside a run, as the caller sees it. It is not stored. */
function endRecord(record: JobRecord<'lipsync'>, { code, message }: LipsyncError, atMs: number): JobRecord<'lipsync'> {
  if (isTerminal(record.status)) return record;
  return applyJobEvent(
    record,
    code === 'canceled'
      ? { type: 'canceled', atMs }
      : { type: 'failed', run: record.runs, atMs, code, message, warnings: [] },
  );
}

/**
 * Whether the open attempt has ordered nothing that a later request could fetch. Then the job ends, so that reserved
 * money and the slot are free at once.
 */
function hasIdleAttempt({ attempts }: JobRecord<'lipsync'>): boolean {
  const last = attempts.at(-1);
  return last?.outcome === 'running' && last.operation === null && unacknowledgedRequest(last) === null;
}

/** Whether the vendor has finished and billed the operation of the open attempt, or a take that it billed is kept. */
function isPaid({ attempts }: JobRecord<'lipsync'>): boolean {
  const last = attempts.at(-1);
  const isFetched = last?.outcome === 'running' && last.operation !== null && last.costMicros !== null;
  return isFetched || attempts.some(({ operation, take }) => operation !== null && take !== undefined);
}

/** Adds how the caller gets what is made or paid for already. */
function withAdvice(error: LipsyncError, record: JobRecord<'lipsync'>): LipsyncError {
  const kept = 'The finished take is kept: repeat the request, if need be with another output path, and it is written';
  const ordered = 'What was ordered from the provider stays there: repeat the request, and it is fetched';
  const rejected = 'A take that is paid for is kept: repeat the request, and it is used';
  const advice = record.keptTake ? kept : isAccepted(record) ? ordered : isPaid(record) ? rejected : undefined;
  if (advice === undefined) return error;
  return new LipsyncError(error.code, `${error.message} ${advice} without being made or paid for again.`, {
    cause: error,
  });
}

function endedEarly(): LipsyncError {
  return new LipsyncError(
    'internal',
    'The job stopped without an outcome. Run it again; report it if it happens twice.',
  );
}

function notRun(): never {
  throw new LipsyncError('internal', 'An abandoned job was run.');
}
