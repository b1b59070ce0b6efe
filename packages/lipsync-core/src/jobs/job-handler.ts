import type { ProgressReport } from '../contract/provider-types.ts';
import type { LipsyncError } from '../errors/index.ts';
import type { Workspace } from '../processes/workspace.ts';
import type { InputFiles } from './input-fetcher.ts';
import type { JobEvent } from './job-events.ts';
import type { JobKind, JobRecord, JobWork, RunnableKind } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import type { ProgressUpdate } from './progress-writer.ts';
import type { StopSignal } from './stop-signal.ts';
import type { StorageWait } from './storage-wait.ts';

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
export type RunStore = Pick<JobStore, 'get' | 'append'>;

/** A run of a job: the record when it started, and what it works with. */
export interface JobRun<Kind extends JobKind = JobKind> {
  readonly record: JobRecord<Kind>;
  readonly context: RunContext;
  readonly store: RunStore;
  readonly storage: StorageWait;
  /** Removed by the runner. */
  readonly workspace: Workspace;
  readonly stop: StopSignal;
  /** Aborts when the run has to end: because of `stop`, or of the host. */
  readonly signal: AbortSignal;
  report(progress: ProgressReport): void;
  /** Fetches the inputs into the workspace. Later calls return the result of the first one. */
  fetchInputs(): Promise<InputFiles>;
}

/** What the runner needs to run jobs of one kind. Methods, so that the handlers of all kinds fit into one table. */
export interface JobHandler<Kind extends JobKind = JobKind> {
  /**
   * Advances the job as far as possible on this host. Returns the event that records the outcome, and throws the errors
   * that fail the job.
   */
  run(run: JobRun<Kind>): Promise<JobEvent>;
  /** Stops what works for a job elsewhere, before the job ends with `reason`. */
  abandon?(
    record: JobRecord<Kind>,
    reason: LipsyncError,
    context: { readonly store: RunStore; readonly signal: AbortSignal },
  ): Promise<void>;
  /**
   * Returns the event that completes the job with what earlier runs have made, because it ends without another run;
   * undefined if there is nothing. Never throws.
   */
  salvage?(run: Pick<JobRun<Kind>, 'record' | 'context' | 'store'>): Promise<JobEvent | undefined>;
  /** Deletes what is kept between the runs of a job, after it has ended. Never throws. */
  removeKept?(record: JobRecord<Kind>): Promise<void>;
}

/** The handlers of a host that runs every kind of job. */
export type JobHandlers = { readonly [Kind in RunnableKind]: JobHandler<Kind> };
