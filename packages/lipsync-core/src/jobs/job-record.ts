import type { JobStatus, LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { TraceContext } from '../contract/ports.ts';
import type { ErrorCode } from '../errors/index.ts';
import type { ExecutionPlan } from '../scheduling/execution-plan.ts';
import type { Quality } from '../contract/quality.ts';
import type { Attempt, KeptTake } from '../providers/attempt.ts';
import type { Provider } from '../providers/provider.ts';
import type { Warning } from '../contract/provider-types.ts';

/**
 * Location of an input: in the artifact store, at a URL that the caller named, or a file of this machine that an
 * in-process job reads in place and never deletes.
 */
export type InputReference =
  | { readonly kind: 'artifact'; readonly key: string; readonly name: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'file'; readonly path: string };

/** The parts of a record that depend on the kind of job. Add a kind here, then teach the runner to run it. */
export interface JobKinds {
  readonly lipsync: {
    readonly spec: LipsyncSpec;
    readonly state: LipsyncState;
    readonly result: LipsyncResult;
  };
}

export type JobKind = keyof JobKinds;

export const jobKinds = Object.freeze(['lipsync'] as const satisfies readonly JobKind[]);

/**
 * What a lip-sync job has to do. Only `video` and `audio` change, when an input is downloaded or the job is resumed.
 */
export interface LipsyncSpec {
  readonly options: LipsyncOptions;
  readonly video: InputReference;
  readonly audio: InputReference;
}

/** Work that a run of a job begins with. A host may do only some kinds. */
export type JobWork = 'fetch' | Provider['kind'];

/** Working state of a lip-sync job, stored at the top level of its record. */
export interface LipsyncState {
  /** Providers in the order in which they are tried; null until planned. Fixed once the first attempt exists. */
  readonly plan: ExecutionPlan | null;
  /** Planned length of the output in milliseconds; null if the plan did not depend on it. */
  readonly outputMs: number | null;
  /** Kind of provider that the next run needs; null if any worker may run the job. */
  readonly needs: Provider['kind'] | null;
  readonly attempts: readonly Attempt[];
  readonly warnings: readonly Warning[];
  /** The finished take that is kept until it can be published; absent without one, and in records of earlier versions. */
  readonly keptTake?: MadeTake;
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

/** The part of a record that all kinds of job share. */
export interface JobEnvelope extends TraceContext {
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
  /** Number of runs started so far. Events of any run but the latest are ignored. */
  readonly runs: number;
  /** Number of runs that ended without recording an outcome, for example because the worker was killed. */
  readonly crashes: number;
  readonly cancelRequested: boolean;
  /** When to run a waiting job again; null while it runs or is queued. */
  readonly parkedUntilMs: number | null;
  /** A parked job waits until files can be stored, not for a provider. */
  readonly waitsForStorage?: true;
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly completedAtMs: number | null;
  readonly deadlineAtMs: number | null;
}

/**
 * The stored truth about a job: envelope, kind, what to do, working state, result. Changed only by `applyJobEvent`.
 * A change of its shape needs a new step in `record-migrations.ts`.
 */
export type JobRecord<Kind extends JobKind = 'lipsync'> = JobEnvelope &
  JobKinds[Kind]['state'] & {
    readonly kind: Kind;
    readonly spec: JobKinds[Kind]['spec'];
    readonly result: JobKinds[Kind]['result'] | null;
  };

/** Values of a new lip-sync job. */
export interface NewJob extends Partial<TraceContext> {
  readonly id: string;
  readonly options: LipsyncOptions;
  readonly video: InputReference;
  readonly audio: InputReference;
  readonly owner: string | null;
  readonly nowMs: number;
  /** Plan and lane, if they are known before a worker sees the job. */
  readonly start?: JobStart;
}

/** The plan of a new job, if it does not depend on the inputs, and the kind of provider that the first run needs. */
export type JobStart = Pick<JobRecord, 'plan' | 'needs'>;

/**
 * Start of a job that a worker plans. It begins in the cloud lane, which has room for many jobs, so that a short look
 * at the inputs does not wait behind renderings.
 */
export const undecidedStart: JobStart = Object.freeze({ plan: null, needs: 'remote' });

/** Returns the record of a job that was just accepted. Pure; the deadline counts from `nowMs`. */
export function newJobRecord({ id, options, video, audio, owner, nowMs, ...rest }: NewJob): JobRecord {
  return {
    id,
    kind: 'lipsync',
    revision: 0,
    status: 'queued',
    stage: 'queued',
    progress: 0,
    message: queuedMessage,
    spec: { options, video, audio },
    owner,
    runs: 0,
    crashes: 0,
    cancelRequested: false,
    parkedUntilMs: null,
    plan: rest.start?.plan ?? null,
    outputMs: null,
    needs: rest.start?.needs ?? null,
    attempts: [],
    warnings: [],
    result: null,
    error: null,
    traceparent: rest.traceparent ?? null,
    requestId: rest.requestId ?? null,
    createdAtMs: nowMs,
    startedAtMs: null,
    completedAtMs: null,
    deadlineAtMs: options.deadlineMs === undefined ? null : nowMs + options.deadlineMs,
  };
}

/**
 * Returns the work that the next run of a job begins with; null if any host may run the job. Inputs are fetched in a run
 * of their own, so that a slow source blocks no other work.
 */
export function nextWork({ spec, needs }: Pick<JobRecord, 'spec' | 'needs'>): JobWork | null {
  return spec.video.kind === 'url' || spec.audio.kind === 'url' ? 'fetch' : needs;
}

export const queuedMessage = 'Waiting for a worker.';

/** Returns whether the last attempt is open, so that a remote operation may be running for the job. */
export function isUnderWay({ attempts }: Pick<JobRecord, 'attempts'>): boolean {
  return attempts.at(-1)?.outcome === 'running';
}

/** Returns whether only a worker can end the job: an operation may be running for it, or its finished take is kept. */
export function needsWorkerToEnd(record: Pick<JobRecord, 'attempts' | 'keptTake'>): boolean {
  return isUnderWay(record) || record.keptTake !== undefined;
}

export function isTerminal(status: JobStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'canceled';
}
