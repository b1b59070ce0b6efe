import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { openJobWorkspace, removeJobWorkspaces, type Workspace } from '../processes/workspace.ts';
import type { Attempt } from '../providers/attempt.ts';
import { decideRetry } from '../providers/retry-policy.ts';
import { failStorage, failStore, StorageUnavailable, StoreFailure } from '../storage/store-failure.ts';
import { appendForRun, AttemptRecorder, logEndedJob, logFields } from './attempt-recorder.ts';
import type { FetchedInputs, InputFetcher } from './input-fetcher.ts';
import type { JobEvent } from './job-events.ts';
import { isTerminal, isUnderWay, nextWork, type JobRecord, type JobWork } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import type { LipsyncPipeline, PipelineOutcome } from './lipsync-pipeline.ts';
import { ProgressWriter, toProgressUpdate, type ProgressUpdate } from './progress-writer.ts';
import { deadlineExceeded, jobCanceled, RunSuperseded, StopSignal } from './stop-signal.ts';
import { isAccepted, TakePublisher, type TakePublisherOptions } from './take-publisher.ts';

export interface JobRunnerOptions extends TakePublisherOptions {
  readonly store: JobStore;
  readonly inputs: InputFetcher;
  readonly pipeline: Pick<LipsyncPipeline, 'run' | 'abandon'>;
  /** As in `StopSignalOptions`. */
  readonly cancelPollMs: number;
  watchCancel?(jobId: string, onChange: () => void): () => void;
  readonly progressIntervalMs: number;
  /** Limit for canceling remote work of a job that ends without a run; none by default. */
  readonly abandonTimeoutMs?: number;
}

export interface RunContext {
  /** Aborted to release the job unfinished, for example at a worker's shutdown. */
  readonly signal: AbortSignal;
  /** Aborted to end the job with the reason of the signal. */
  readonly cancelSignal?: AbortSignal;
  /** Returns whether this host fetches inputs, or runs providers of that kind. */
  canRun(work: JobWork): boolean;
  /** Called with every report of progress; the store gets fewer. */
  onProgress?(update: ProgressUpdate): void;
  /** Called with the error that the record stores as code and message. */
  onError?(error: LipsyncError): void;
  /** Called when the run parks the job because files cannot be stored, with the reason. */
  onStorageWait?(error: LipsyncError): void;
}

/** Store of a run: its failures are never recorded as failures of the job. */
type RunStore = Pick<JobStore, 'get' | 'append'>;

/** A run of a job: the record when it started, and what it works with. */
interface Run {
  readonly record: JobRecord;
  readonly context: RunContext;
  readonly workspace: Workspace;
  readonly stop: StopSignal;
  readonly signal: AbortSignal;
  readonly attempts: AttemptRecorder;
}

/**
 * Runs recorded jobs from their current state to their end. The queue, programs and the CLI all use it, so that
 * resuming, canceling, deadlines and crashes are handled once.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #store: RunStore;
  readonly #takes: TakePublisher;

  constructor(options: JobRunnerOptions) {
    const { store } = options;
    this.#options = options;
    this.#takes = new TakePublisher(options);
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
   * released, if the store accepts that, and the caller runs it again.
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
      await this.#takes.remove(jobId);
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
    // Set before the run starts: a slow store may start it and answer too late.
    let runs = found.runs + 1;
    try {
      const record = isTerminal(found.status)
        ? found
        : await this.#store.append(jobId, { type: 'run_started', atMs: this.#options.clock.nowMs() });
      runs = record.runs;
      return await this.#advance(record, context);
    } catch (error) {
      if (error instanceof StoreFailure && error.isTransient) await this.#tryRelease({ ...found, runs });
      throw error;
    }
  }

  async #advance(record: JobRecord, context: RunContext): Promise<JobRecord> {
    const reason = this.#reasonToEnd(record, context);
    if (!isTerminal(record.status) && !reason) {
      const left = await this.#runOnce(record, context);
      if (isTerminal(left.status)) await this.#takes.remove(record.id);
      // A job that is canceled while it is being parked is not woken by the cancel.
      return left.cancelRequested && left.parkedUntilMs !== null ? this.#run(record.id, context) : left;
    }
    const ended = reason ? await this.#endWithoutRun(record, reason, context) : record;
    await removeJobWorkspaces(this.#options.workFolder, record.id);
    await this.#takes.remove(record.id);
    return ended;
  }

  /** Without this, a run that ends because of the store would count as a crash. */
  async #tryRelease(record: JobRecord): Promise<void> {
    await this.#store
      .append(record.id, { type: 'released', run: record.runs })
      .catch((error: unknown) =>
        this.#options.logger.warn({ ...logFields(record), error }, 'the job could not be released'),
      );
  }

  #reasonToEnd(record: JobRecord, { cancelSignal }: RunContext): LipsyncError | undefined {
    const { status, cancelRequested, crashes, deadlineAtMs } = record;
    if (isTerminal(status)) return undefined;
    if (cancelSignal?.aborted) return abortError(cancelSignal);
    if (cancelRequested) return jobCanceled();
    if (deadlineAtMs !== null && deadlineAtMs <= this.#options.clock.nowMs()) return deadlineExceeded();
    const decision = decideRetry({ type: 'run' }, { code: 'worker_crashed' }, { failures: crashes });
    if (decision.type === 'retry') return undefined;
    return new LipsyncError('worker_crashed', `The worker crashed ${crashes} times while it ran this job.`);
  }

  async #endWithoutRun(record: JobRecord, reason: LipsyncError, context: RunContext): Promise<JobRecord> {
    await this.#abandon(record, reason, context.signal);
    context.onError?.(reason);
    const ended = await this.#store.append(record.id, this.#endEvent(reason, record));
    logEndedJob(this.#options.logger, ended, reason);
    return ended;
  }

  /**
   * Closes the open attempt of a job that ends. A canceled job stops its operation; any other reason leaves the operation
   * running, because it may still be billed, and records a pending settlement.
   */
  #abandon(record: JobRecord, reason: LipsyncError, signal: AbortSignal): Promise<void> {
    const { id: jobId, owner, spec, attempts: earlierAttempts } = record;
    const { abandonTimeoutMs, logger, pipeline } = this.#options;
    const attempts = new AttemptRecorder(record, { store: this.#store, logger });
    const limit = abandonTimeoutMs === undefined ? [] : [AbortSignal.timeout(abandonTimeoutMs)];
    return pipeline.abandon({ jobId, owner, options: spec.options }, reason, {
      signal: AbortSignal.any([signal, ...limit]),
      earlierAttempts,
      saveAttempts: async (changed) => void (await attempts.save(changed)),
    });
  }

  async #runOnce(record: JobRecord, context: RunContext): Promise<JobRecord> {
    const { workFolder, logger } = this.#options;
    const { cancelSignal } = context;
    const stop = new StopSignal(record, { ...this.#options, store: this.#store, cancelSignal });
    const attempts = new AttemptRecorder(record, { store: this.#store, logger });
    let workspace: Workspace | undefined;
    try {
      workspace = await openJobWorkspace(workFolder, record).catch(failStorage);
      const signal = AbortSignal.any([context.signal, stop.signal]);
      const event = await this.#work({ record, context, workspace, stop, signal, attempts });
      return await this.#store.append(record.id, event);
    } catch (thrown) {
      if (thrown instanceof StorageUnavailable)
        return await this.#store.append(record.id, this.#takes.park(thrown.error, { record, context }));
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
    const ended = await this.#store.append(record.id, this.#endEvent(error, record));
    if (ended.runs === record.runs) logEndedJob(this.#options.logger, ended, error);
    return ended;
  }

  #endEvent({ code, message }: LipsyncError, { runs }: JobRecord): JobEvent {
    const atMs = this.#options.clock.nowMs();
    return code === 'canceled'
      ? { type: 'canceled', atMs }
      : { type: 'failed', run: runs, atMs, code, message, warnings: [] };
  }

  /** Runs the pipeline as far as possible on this host and returns the event that records the outcome. */
  async #work(run: Run): Promise<JobEvent> {
    const { record, context, stop, attempts } = run;
    const { id: jobId, owner, spec, runs } = record;
    const published = await this.#takes.publishKept(run);
    if (published) return published;
    if (!isAccepted(record)) await this.#takes.checkStorage();
    const progress = this.#progressWriter(record);
    const report = (update: ProgressUpdate): void => {
      progress.report(update);
      context.onProgress?.(update);
    };
    try {
      const needs = record.needs ?? 'inline';
      if (nextWork(record) === 'fetch' && !context.canRun(needs)) {
        report(toProgressUpdate({ stage: 'fetching', fraction: 0 }));
        await this.#fetchInputs(run);
        return { type: 'transferred', run: runs, needs };
      }
      const outcome = await this.#options.pipeline.run(
        {
          jobId,
          owner,
          options: spec.options,
          workspace: run.workspace,
          fetchInputs: () => this.#fetchInputs(run),
        },
        {
          signal: run.signal,
          trace: { requestId: record.requestId, traceparent: record.traceparent },
          canRun: (kind) => context.canRun(kind),
          earlierAttempts: record.attempts,
          wasInterrupted: record.crashes > 0,
          plan: record.plan,
          outputMs: record.outputMs,
          onProgress: (stage) => report(toProgressUpdate(stage)),
          checkStorage: () => this.#takes.checkStorage(),
          savePlan: async (plan, outputMs) =>
            stop.update(await appendForRun(this.#store, record, { type: 'planned', run: runs, plan, outputMs })),
          saveAttempts: async (changed) => stop.update(await attempts.save(changed)),
        },
      );
      if (outcome.type === 'made') report(toProgressUpdate({ stage: 'publishing', fraction: 0 }));
      return await this.#toEvent(outcome, run);
    } finally {
      await progress.settle();
    }
  }

  async #toEvent(outcome: PipelineOutcome, run: Run): Promise<JobEvent> {
    const { record, attempts } = run;
    const { runs, deadlineAtMs } = record;
    switch (outcome.type) {
      case 'waiting': {
        const untilMs = Math.min(outcome.untilMs, deadlineAtMs ?? Infinity);
        return { type: 'parked', run: runs, untilMs, message: waitingMessage(attempts.latest) };
      }
      case 'elsewhere':
        return { type: 'transferred', run: runs, needs: outcome.needs };
      case 'made':
        return this.#takes.publish(outcome, run);
    }
  }

  #progressWriter(record: JobRecord): ProgressWriter {
    const { clock, logger, progressIntervalMs } = this.#options;
    return new ProgressWriter({
      intervalMs: progressIntervalMs,
      clock,
      write: (update) => this.#store.append(record.id, { type: 'progressed', run: record.runs, ...update }),
      onError: (error) => logger.warn({ ...logFields(record), error }, 'progress was not stored'),
    });
  }

  #fetchInputs({ record, workspace, signal }: Run): Promise<FetchedInputs> {
    return this.#options.inputs.fetch(record, {
      signal,
      workspace,
      saveInputs: async (references) =>
        void (await this.#store.append(record.id, { type: 'inputs_fetched', run: record.runs, ...references })),
    });
  }
}

function waitingMessage(attempts: readonly Attempt[]): string {
  const last = attempts.at(-1);
  if (last?.outcome !== 'running') return 'Waiting for a slot at the provider.';
  if (last.costMicros !== null) return `${last.provider} has finished; the take is being fetched.`;
  return last.operation ? `${last.provider} is processing.` : `Waiting until ${last.provider} accepts the request.`;
}
