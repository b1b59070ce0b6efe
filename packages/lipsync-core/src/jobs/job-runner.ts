import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ProgressReport } from '../contract/provider-types.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { openJobWorkspace, removeJobWorkspaces, type Workspace } from '../processes/workspace.ts';
import { decideRetry } from '../providers/retry-policy.ts';
import { traced } from '../tracing/spans.ts';
import { failStorage, failStore, StorageUnavailable, StoreFailure } from '../storage/store-failure.ts';
import type { InputFetcher, InputFiles } from './input-fetcher.ts';
import type { JobEvent } from './job-events.ts';
import type { JobHandler, JobHandlers, JobRun, RunContext, RunStore } from './job-handler.ts';
import { logEndedJob, logFields, logStartedJob } from './job-log.ts';
import { isTerminal, isUnderWay, nextWork, type JobInputs, type JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { traceRun } from './job-trace.ts';
import { ProgressWriter, toProgressUpdate } from './progress-writer.ts';
import { deadlineExceeded, jobCanceled, RunSuperseded, StopSignal } from './stop-signal.ts';
import { StorageWait, type StorageWaitOptions } from './storage-wait.ts';

export interface JobRunnerOptions extends StorageWaitOptions {
  readonly store: JobStore;
  readonly inputs: InputFetcher;
  /** The kinds of jobs that this host runs. */
  readonly handlers: Partial<JobHandlers>;
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** As in `StopSignalOptions`. */
  readonly cancelPollMs: number;
  watchCancel?(jobId: string, onChange: () => void): () => void;
  readonly progressIntervalMs: number;
  /** How long a run that ends because of the store tries to release its job; by default it tries once. */
  readonly releaseLimitMs?: number;
  /** Called with the record after progress was stored. Must not throw. */
  onProgress?(record: JobRecord): void;
}

/** Pause before the second try to release a job; doubles with each further one. */
const firstReleasePauseMs = 1_000;
/** Shorter than the time after which the queue gives the job to another worker. */
const maxReleasePauseMs = 3_000;

/**
 * Runs recorded jobs from their current state to their end. The queue, programs and the CLI all use it, so that
 * resuming, canceling, deadlines and crashes are handled once.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #store: RunStore;
  readonly #storage: StorageWait;

  constructor(options: JobRunnerOptions) {
    const { store } = options;
    this.#options = options;
    this.#storage = new StorageWait(options);
    this.#store = {
      get: (id) => store.get(id).catch(failStore),
      append: (id, event) => store.append(id, event).catch(failStore),
    };
  }

  /**
   * Advances the job until it ends or has to wait and returns its record: ended, parked until a time, queued for a
   * worker that does its `nextWork`, or processed by a later run. May be called for the same job at any time;
   * interrupted work is resumed. An abort of `signal` releases the job and throws; all other outcomes of the work are
   * in the record. Throws `not_found` for an unknown job, and the error of the store if it fails: the job is then
   * released, if the store accepts that in time, and the caller runs it again.
   */
  run(jobId: string, context: RunContext): Promise<JobRecord> {
    return this.#withStoreErrors(jobId, () => this.#run(jobId, context));
  }

  /**
   * Ends a job without running it, cancels what runs remotely for it and deletes its kept take. For jobs that will not
   * be resumed.
   */
  end(jobId: string, reason: LipsyncError, signal: AbortSignal): Promise<JobRecord> {
    return this.#withStoreErrors(jobId, async () => {
      const record = await this.#store.append(jobId, { type: 'run_started', atMs: this.#options.clock.nowMs() });
      const isEnded = isTerminal(record.status);
      const ended = isEnded ? record : await this.#endWithoutRun(record, reason, { signal, canRun: () => true });
      await this.#removeKept(ended);
      return ended;
    });
  }

  async #withStoreErrors(jobId: string, work: () => Promise<JobRecord>): Promise<JobRecord> {
    try {
      return await work();
    } catch (error) {
      const current = error instanceof RunSuperseded ? await this.#options.store.get(jobId) : undefined;
      if (current) return current;
      throw error instanceof StoreFailure ? error.cause : error;
    }
  }

  async #run(jobId: string, context: RunContext): Promise<JobRecord> {
    const found = await this.#store.get(jobId);
    if (!found) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
    const work = nextWork(found);
    if (work !== null && !context.canRun(work)) return found;
    return traceRun(found, (traceparent) => this.#start(found, context, traceparent));
  }

  async #start(found: JobRecord, context: RunContext, traceparent: string | undefined): Promise<JobRecord> {
    // Known before the run starts: a slow store may start it and answer too late.
    let run = found.runs + 1;
    const runId = randomUUID();
    try {
      const record = isTerminal(found.status)
        ? found
        : await this.#store.append(found.id, {
            type: 'run_started',
            atMs: this.#options.clock.nowMs(),
            traceparent,
            runId,
          });
      run = record.runs;
      if (found.startedAtMs === null && record.startedAtMs !== null) logStartedJob(this.#options.logger, record);
      return await this.#advance(record, context);
    } catch (error) {
      if (error instanceof StoreFailure && error.isTransient)
        await this.#tryRelease(found, { run, runId }, context.signal);
      throw error;
    }
  }

  async #advance(record: JobRecord, context: RunContext): Promise<JobRecord> {
    const reason = this.#reasonToEnd(record, context);
    if (!isTerminal(record.status) && !reason) {
      const left = await this.#runOnce(record, context);
      if (isTerminal(left.status)) await this.#removeKept(left);
      // A job that is canceled while it is being parked is not woken by the cancel.
      return left.cancelRequested && left.parkedUntilMs !== null ? this.#run(record.id, context) : left;
    }
    const ended = reason ? await this.#endInTime(record, reason, context) : record;
    await removeJobWorkspaces(this.#options.workFolder, record);
    await this.#removeKept(ended);
    return ended;
  }

  /** Ends a job without running it. Unless it is canceled, it completes with what earlier runs have made, if anything. */
  async #endInTime(record: JobRecord, reason: LipsyncError, context: RunContext): Promise<JobRecord> {
    const isCanceled = reason.code === 'canceled';
    const run = { record, context, store: this.#store };
    const made = isCanceled ? undefined : await this.#handlerOf(record).salvage?.(run);
    if (!made) return this.#endWithoutRun(record, reason, context);
    await this.#abandon(record, reason, context.signal);
    return this.#recordOutcome(record, made);
  }

  async #removeKept(record: JobRecord): Promise<void> {
    const handler: JobHandler | undefined = record.kind === 'batch' ? undefined : this.#options.handlers[record.kind];
    await handler?.removeKept?.(record);
  }

  /**
   * Without this, a run that ends because of the store would count as a crash. An abort of `signal` makes the next try
   * the last one. Never throws.
   */
  async #tryRelease(
    record: JobRecord,
    run: { readonly run: number; readonly runId: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { logger, releaseLimitMs = 0 } = this.#options;
    const endMs = performance.now() + releaseLimitMs;
    for (let pauseMs = firstReleasePauseMs; ; pauseMs = Math.min(2 * pauseMs, maxReleasePauseMs)) {
      const isLast = signal.aborted || performance.now() + pauseMs > endMs;
      try {
        await this.#store.append(record.id, { type: 'released', ...run });
        return;
      } catch (error) {
        if (isLast || !(error instanceof StoreFailure && error.isTransient)) {
          logger.warn({ ...logFields(record), error }, 'the job could not be released');
          return;
        }
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #reasonToEnd(record: JobRecord, { cancelSignal }: RunContext): LipsyncError | undefined {
    const { status, cancelRequested, crashes, deadlineAtMs } = record;
    if (isTerminal(status)) return undefined;
    if (cancelSignal?.aborted) return abortError(cancelSignal);
    if (cancelRequested) return jobCanceled();
    if (deadlineAtMs !== null && deadlineAtMs <= this.#options.clock.nowMs()) return deadlineExceeded();
    const decision = decideRetry({ type: 'run' }, { code: 'worker_crashed' }, { failures: crashes });
    if (decision.type === 'retry') return undefined;
    return new LipsyncError('worker_crashed', `The worker crashed ${crashes} times in a row while it ran this job.`);
  }

  async #endWithoutRun(record: JobRecord, reason: LipsyncError, context: RunContext): Promise<JobRecord> {
    await this.#abandon(record, reason, context.signal);
    context.onError?.(reason);
    return this.#recordOutcome(record, this.#endEvent(reason, record), reason);
  }

  async #abandon(record: JobRecord, reason: LipsyncError, signal: AbortSignal): Promise<void> {
    await this.#handlerOf(record).abandon?.(record, reason, { store: this.#store, signal });
  }

  async #runOnce(record: JobRecord, context: RunContext): Promise<JobRecord> {
    const { workFolder, logger } = this.#options;
    const { cancelSignal } = context;
    const stop = new StopSignal(record, { ...this.#options, store: this.#store, cancelSignal });
    let workspace: Workspace | undefined;
    try {
      workspace = await openJobWorkspace(workFolder, record).catch(failStorage);
      const signal = AbortSignal.any([context.signal, stop.signal]);
      const storage = this.#storage;
      const event = await this.#work({ record, context, store: this.#store, storage, workspace, stop, signal });
      return await this.#recordOutcome(record, event);
    } catch (thrown) {
      if (thrown instanceof StorageUnavailable)
        return await this.#store.append(record.id, this.#storage.park(thrown.error, { record, context }));
      if (thrown instanceof StoreFailure) throw thrown;
      return await this.#endFailed(record, thrown, { context, stop: stop.signal });
    } finally {
      stop.end();
      // What remains is removed by the next run, or with the job.
      await workspace
        ?.remove()
        .catch((error: unknown) => logger.warn({ ...logFields(record), error }, 'work files remain'));
    }
  }

  /** Records the outcome of a run without an output. Throws if the run was superseded or released. */
  async #endFailed(
    record: JobRecord,
    thrown: unknown,
    { context, stop }: { readonly context: RunContext; readonly stop: AbortSignal },
  ): Promise<JobRecord> {
    if (stop.reason instanceof RunSuperseded) throw stop.reason;
    if (context.signal.aborted && !stop.aborted) {
      await this.#store.append(record.id, { type: 'released', run: record.runs });
      throw abortError(context.signal);
    }
    const error = stop.aborted ? abortError(stop) : toLipsyncError(thrown);
    // A run that fails outside the provider chain may leave an attempt open.
    const left = await this.#store.get(record.id);
    if (left?.runs === record.runs && isUnderWay(left)) await this.#abandon(left, error, context.signal);
    context.onError?.(error);
    return this.#recordOutcome(record, this.#endEvent(error, record), error);
  }

  /** Stores the outcome of a run, and logs it if it ends the job. */
  async #recordOutcome({ id }: JobRecord, event: JobEvent, error?: LipsyncError): Promise<JobRecord> {
    const record = await this.#store.append(id, event);
    const isEnd = event.type === 'completed' || event.type === 'failed' || event.type === 'canceled';
    // Otherwise another run or a cancel ended the job.
    if (isEnd && record.status === event.type && record.completedAtMs === event.atMs)
      logEndedJob(this.#options.logger, record, error);
    return record;
  }

  #endEvent({ code, message }: LipsyncError, { runs }: JobRecord): JobEvent {
    const atMs = this.#options.clock.nowMs();
    return code === 'canceled'
      ? { type: 'canceled', atMs }
      : { type: 'failed', run: runs, atMs, code, message, warnings: [] };
  }

  async #work(run: Omit<JobRun, 'report' | 'fetchInputs'>): Promise<JobEvent> {
    const { record, context, storage } = run;
    const progress = this.#progressWriter(record);
    const report = (stage: ProgressReport): void => {
      const update = toProgressUpdate(stage);
      progress.report(update);
      context.onProgress?.(update);
    };
    const fetchInputs = memoizeAsync(() => this.#fetchInputs(run));
    try {
      const needs = record.needs ?? 'inline';
      if (nextWork(record) === 'fetch' && !context.canRun(needs)) {
        await storage.check();
        report({ stage: 'fetching', fraction: 0 });
        await fetchInputs();
        return { type: 'transferred', run: record.runs, needs };
      }
      return await this.#handlerOf(record).run({ ...run, report, fetchInputs });
    } finally {
      await progress.settle();
    }
  }

  #progressWriter(record: JobRecord): ProgressWriter {
    const { clock, logger, progressIntervalMs } = this.#options;
    return new ProgressWriter({
      intervalMs: progressIntervalMs,
      clock,
      write: async (update) => {
        const progressed = await this.#store.append(record.id, { type: 'progressed', run: record.runs, ...update });
        this.#options.onProgress?.(progressed);
      },
      onError: (error) => logger.warn({ ...logFields(record), error }, 'progress was not stored'),
    });
  }

  /** Throws a `StorageUnavailable` while inputs cannot be stored or read. */
  #fetchInputs({
    record,
    workspace,
    signal,
    context: host,
  }: Pick<JobRun, 'record' | 'workspace' | 'signal' | 'context'>): Promise<InputFiles> {
    const context = {
      // What is made is delivered after the deadline, with the marks of its inputs.
      signal: signal.aborted ? host.signal : signal,
      workspace,
      saveInputs: async (inputs: JobInputs) =>
        void (await this.#store.append(record.id, { type: 'inputs_fetched', run: record.runs, inputs })),
    };
    return traced('fetch inputs', {}, () => this.#options.inputs.fetch(record, context)).catch(failStorage);
  }

  /** Throws `internal` for a kind of job that this host does not run. */
  #handlerOf({ kind }: JobRecord): JobHandler {
    const handler = kind === 'batch' ? undefined : this.#options.handlers[kind];
    if (!handler) throw new LipsyncError('internal', `This host runs no jobs of the kind ${kind}.`);
    return handler;
  }
}
