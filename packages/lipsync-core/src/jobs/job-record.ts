import type { JobStatus, LipsyncOptions, ProviderId, Quality, QualityOptions } from '../contract/index.ts';
import type { TraceContext } from '../contract/ports.ts';
import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import type { ExecutionPlan } from '../scheduling/execution-plan.ts';
import type { Attempt, KeptTake } from '../providers/attempt.ts';
import type { Provider } from '../providers/provider.ts';
import type { Warning } from '../contract/provider-types.ts';
import type { BatchReference, BatchSummary } from './batch-summary.ts';
import type { DeletedFiles } from './deleted-files.ts';
import type { RunState } from './run-state.ts';
import type { WebhookMessage, WebhookState } from './webhook-delivery.ts';

/**
 * Location of an input: in the artifact store, at a URL that the caller named, or a file of this machine that an
 * in-process job reads in place and never deletes.
 */
export type InputReference =
  | { readonly kind: 'artifact'; readonly key: string; readonly name: string }
  /** `isCut`: the job has ended, and its URL had a query, which may be a secret and is not kept. */
  | { readonly kind: 'url'; readonly url: string; readonly isCut?: true }
  | { readonly kind: 'file'; readonly path: string };

/** Request fields that name an input. */
export const inputFields = Object.freeze(['video', 'audio', 'source'] as const);
export type InputField = (typeof inputFields)[number];

/** The inputs of a job by field. */
export type JobInputs = { readonly [Field in InputField]?: InputReference };

/** The parts of a record that depend on the kind of job. A new kind also needs a `JobHandler`, which runs it. */
export interface JobKinds {
  readonly lipsync: {
    readonly spec: LipsyncSpec;
    readonly state: LipsyncState;
    readonly result: LipsyncResult;
  };
  readonly quality: {
    readonly spec: QualitySpec;
    readonly state: unknown;
    readonly result: QualityResult;
  };
  /** A set of lip-sync jobs. No worker runs it: it ends when all of its jobs have ended. */
  readonly batch: {
    readonly spec: BatchSpec;
    readonly state: unknown;
    readonly result: BatchSummary;
  };
  /** A message to the receiver of a caller. */
  readonly webhook: {
    readonly spec: WebhookMessage & JobInputs;
    readonly state: WebhookState;
    readonly result: { readonly status: number };
  };
}

export type JobKind = keyof JobKinds;

/** Kinds of jobs that workers run. */
export type RunnableKind = Exclude<JobKind, 'batch'>;

/** Kinds of jobs that a caller requests. */
export type RequestKind = Exclude<JobKind, 'webhook'>;

export const jobKinds = Object.freeze(['lipsync', 'quality', 'batch', 'webhook'] as const satisfies readonly JobKind[]);

/**
 * What a lip-sync job has to do. Only the inputs change, when one is downloaded or the job is resumed.
 */
export interface LipsyncSpec extends JobInputs {
  readonly options: LipsyncOptions;
  readonly video: InputReference;
  readonly audio: InputReference;
}

/** What a quality job has to do: score `video`. Only the inputs change, when one is downloaded. */
export interface QualitySpec extends JobInputs {
  readonly options: QualityOptions;
  readonly video: InputReference;
  /** The speech that the video was made from; without it, the sound of the video is the speech. */
  readonly audio?: InputReference;
  /** The clip that the video was made from. */
  readonly source?: InputReference;
}

/** Options of a batch itself, not of its jobs. */
export interface BatchOptions {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly userId?: string | undefined;
  readonly webhookUrl?: string | undefined;
  /** Limit on the cost of all jobs together, in USD. */
  readonly maxCostUsd?: number | undefined;
}

/** What a batch has to do. */
export interface BatchSpec extends JobInputs {
  readonly options: BatchOptions;
  readonly itemCount: number;
  /** Empty once the job of every item is stored, so that the deletion of a job leaves no copy of its inputs. */
  readonly items: readonly BatchItem[];
  /** The jobs that have not started wait until the batch is resumed. */
  readonly isPaused?: true;
}

export interface BatchItem {
  readonly options: LipsyncOptions;
  readonly video: InputReference;
  readonly audio: InputReference;
  /** File name of the output in an archive of the batch. */
  readonly outputName: string;
}

/** Work of a run that has its inputs. */
export type RunWork = Provider['kind'] | 'deliver';

/** Work that a run of a job begins with. A host may do only some kinds. */
export type JobWork = 'fetch' | RunWork;

/** Working state of a lip-sync job, stored at the top level of its record. */
export interface LipsyncState {
  /** Providers in the order in which they are tried; null until planned. Fixed once the first attempt exists. */
  readonly plan: ExecutionPlan | null;
  /** Planned length of the output in milliseconds; null if the plan did not depend on it. */
  readonly outputMs: number | null;
  readonly attempts: readonly Attempt[];
  /** The finished take that is kept until it can be published; absent without one, and in records of earlier versions. */
  readonly keptTake?: MadeTake;
  /** Warnings about the marks of the output that a run is publishing; absent without any. */
  readonly markWarnings?: readonly Warning[];
  /**
   * An attempt was interrupted, for example by a crash, so that the durations of the job are not meaningful; absent
   * without an interruption. Unlike `crashes` it stays until the job is retried.
   */
  readonly wasInterrupted?: true;
}

/** What is known about a finished take besides its file. */
export interface MadeTake extends KeptTake {
  /** Null if no provider was needed because the speech audio was silent. */
  readonly methodUsed: ProviderId | null;
  /** Absent if it was not assessed. */
  readonly quality?: Quality;
  /** Index of the attempt whose kept take this is; absent if the file is not that of an attempt. */
  readonly attemptIndex?: number;
}

/** Output of a completed lip-sync job. */
export interface LipsyncResult {
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  readonly cached: boolean;
  readonly durationMs: number;
  /** Absent if it was not assessed, and in records of earlier versions. */
  readonly quality?: Quality;
  /** Artifact key, or the path of the output file for an in-process job. */
  readonly outputKey: string;
}

/** Outcome of a completed quality job. */
export interface QualityResult {
  readonly quality: Quality;
  /** Length of the video. */
  readonly durationMs: number;
}

/** The part of a record that all kinds of job share. */
export interface JobEnvelope extends TraceContext, DeletedFiles, RunState {
  readonly id: string;
  /** Increases with every change; stores use it for compare-and-set. */
  readonly revision: number;
  readonly status: JobStatus;
  readonly stage: string;
  /** Percent, 0 to 100; never decreases until the job is resumed. */
  readonly progress: number;
  readonly message: string;
  /** Name of the API key that created the job; null if the API is open. */
  readonly owner: string | null;
  readonly cancelRequested: boolean;
  /** When to run a waiting job again; null while it runs or is queued. */
  readonly parkedUntilMs: number | null;
  /** A parked job waits until files can be stored, not for a provider. */
  readonly waitsForStorage?: true;
  /** A parked job waits for the circuit breaker of its only provider, not for a slot. */
  readonly waitsForProbe?: true;
  /** Id of the equal job whose result a parked job waits for. */
  readonly waitsForResult?: string;
  /** Kind of work that the next run begins with, after inputs are fetched; null if any worker may run the job. */
  readonly needs: RunWork | null;
  /** Absent for a single job. */
  readonly batch?: BatchReference;
  readonly warnings: readonly Warning[];
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly completedAtMs: number | null;
  readonly deadlineAtMs: number | null;
  /** Expected end of the job, from throughput estimates and queue lengths; absent while it is unknown. */
  readonly expectedCompletionAtMs?: number;
  /** The last retry; absent without one. */
  readonly retry?: JobRetry;
}

export interface JobRetry {
  /** Number of retries so far. */
  readonly count: number;
  readonly atMs: number;
  /** Index of the first attempt of this retry. Earlier ones count for the costs only. */
  readonly firstAttempt: number;
}

/**
 * The stored truth about a job: envelope, kind, what to do, working state, result. Changed only by `applyJobEvent`.
 * A change of its shape needs a new step in `record-migrations.ts`.
 */
export type JobRecord<Kind extends JobKind = JobKind> = Kind extends JobKind
  ? JobEnvelope &
      JobKinds[Kind]['state'] & {
        readonly kind: Kind;
        readonly spec: JobKinds[Kind]['spec'];
        readonly result: JobKinds[Kind]['result'] | null;
      }
  : never;

/** Values of a new job of any kind. */
export interface NewEnvelope extends Partial<TraceContext> {
  readonly id: string;
  readonly owner: string | null;
  readonly nowMs: number;
  /** Counted from `nowMs`. */
  readonly deadlineMs?: number | undefined;
  readonly needs: RunWork | null;
}

/** Values of a new lip-sync job. */
export interface NewJob extends LipsyncSpec, Omit<NewEnvelope, 'deadlineMs' | 'needs'> {
  /** Plan and lane, if they are known before a worker sees the job. */
  readonly start?: JobStart;
}

/** Values of a new quality job. */
export interface NewQualityJob extends QualitySpec, Omit<NewEnvelope, 'deadlineMs' | 'needs'> {}

/** The plan of a new job, if it does not depend on the inputs, and the kind of provider that the first run needs. */
export type JobStart = Pick<JobRecord<'lipsync'>, 'plan' | 'needs'>;

/**
 * Start of a job that a worker plans. It begins in the cloud lane, which has room for many jobs, so that a short look
 * at the inputs does not wait behind renderings.
 */
export const undecidedStart: JobStart = Object.freeze({ plan: null, needs: 'remote' });

/** Returns the record of a lip-sync job that was just accepted. Pure; the deadline counts from `nowMs`. */
export function newJobRecord({ options, video, audio, start, ...rest }: NewJob): JobRecord<'lipsync'> {
  return {
    ...newEnvelope({ ...rest, deadlineMs: options.deadlineMs, needs: start?.needs ?? null }),
    kind: 'lipsync',
    spec: { options, video, audio },
    plan: start?.plan ?? null,
    outputMs: null,
    attempts: [],
    result: null,
  };
}

/** Returns the record of a quality job that was just accepted. Pure. */
export function newQualityRecord({ options, video, audio, source, ...rest }: NewQualityJob): JobRecord<'quality'> {
  return {
    ...newEnvelope({ ...rest, deadlineMs: options.deadlineMs, needs: 'inline' }),
    kind: 'quality',
    spec: { options, video, ...(audio && { audio }), ...(source && { source }) },
    result: null,
  };
}

/** Returns the fields that a new record of any kind has. Pure. */
export function newEnvelope({ id, owner, nowMs, deadlineMs, needs, ...trace }: NewEnvelope): JobEnvelope {
  return {
    id,
    revision: 0,
    status: 'queued',
    stage: 'queued',
    progress: 0,
    message: queuedMessage,
    owner,
    runs: 0,
    crashes: 0,
    cancelRequested: false,
    parkedUntilMs: null,
    needs,
    warnings: [],
    error: null,
    traceparent: trace.traceparent ?? null,
    requestId: trace.requestId ?? null,
    createdAtMs: nowMs,
    startedAtMs: null,
    completedAtMs: null,
    deadlineAtMs: deadlineMs === undefined ? null : nowMs + deadlineMs,
  };
}

/**
 * Returns the work that the next run of a job begins with; null if any host may run the job. Inputs are fetched in a run
 * of their own, so that a slow source blocks no other work.
 */
export function nextWork({
  spec,
  needs,
}: {
  readonly spec: JobInputs;
  readonly needs: JobRecord['needs'];
}): JobWork | null {
  return inputFields.some((field) => spec[field]?.kind === 'url') ? 'fetch' : needs;
}

export const queuedMessage = 'Waiting for a worker.';

/** Index of the first attempt that counts for the tries of a job: those before it were made before a retry. */
export function firstAttemptOf({ retry }: Pick<JobRecord, 'retry'>): number {
  return retry?.firstAttempt ?? 0;
}

/** Returns whether the last attempt is open, so that a remote operation may be running for the job. */
export function isUnderWay(record: JobRecord): boolean {
  return record.kind === 'lipsync' && record.attempts.at(-1)?.outcome === 'running';
}

/** Returns whether a finished take of the job is kept. */
export function hasKeptTake({ attempts, keptTake }: Pick<JobRecord<'lipsync'>, 'attempts' | 'keptTake'>): boolean {
  return keptTake !== undefined || attempts.some(({ take }) => take !== undefined);
}

/** Returns whether only a worker can end the job: an operation may be running for it, or a finished take is kept. */
export function needsWorkerToEnd(record: JobRecord): boolean {
  return record.kind === 'lipsync' && (isUnderWay(record) || hasKeptTake(record));
}

/** Returns whether a record is one of a kind of job. */
export function isOfKind<Kind extends JobKind>(record: JobRecord, kind: Kind): record is JobRecord<Kind> {
  return record.kind === kind;
}

/** Returns a record of a known kind of job. Throws `internal` for one of another kind. */
export function requireKind<Kind extends JobKind>(record: JobRecord, kind: Kind): JobRecord<Kind> {
  if (isOfKind(record, kind)) return record;
  throw new LipsyncError('internal', `The job ${record.id} is a ${record.kind} job, not a ${kind} job.`);
}

export function isTerminal(status: JobStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'canceled';
}
