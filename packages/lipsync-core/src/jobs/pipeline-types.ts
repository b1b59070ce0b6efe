import type { LipsyncOptions } from '../contract/index.ts';
import type { TraceContext } from '../contract/ports.ts';
import type { ProgressReport } from '../contract/provider-types.ts';
import type { Fingerprint } from '../fingerprint/fingerprint.ts';
import type { LipsyncError } from '../errors/index.ts';
import type { ExpectedPicture } from '../media/index.ts';
import type { Workspace } from '../processes/workspace.ts';
import type { CappedBatch } from '../billing/ledger-entry.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { Provider } from '../providers/provider.ts';
import type { RunGuard, StorageGuard } from '../providers/remote-attempt.ts';
import type { ExecutionPlan } from '../scheduling/execution-plan.ts';
import type { ChainOutcome } from '../providers/chain.ts';
import type { MadeTake } from './job-record.ts';

/** Inputs of a lip-sync job as files of this machine. */
export interface FetchedInputs {
  readonly clipPath: string;
  readonly speechPath: string;
  /** SHA-256 of the clip, hexadecimal. */
  readonly clipDigest: string;
}

/** Keeps the takes of a job until it ends, where every host that may run the job finds them. */
export interface KeptTakes {
  /** Moves a finished take there and returns its path. Throws a `StorageError`. */
  keep(takePath: string, attemptIndex: number): Promise<string>;
  /** Returns the path of a kept take, whether or not the file exists. */
  pathOf(attemptIndex: number): string;
  /** Makes a kept take available to the other machines that may run the job. Throws a `StorageError`. */
  share(attemptIndex: number): Promise<void>;
  /** Returns the path of a kept take, also of one that another machine has shared; undefined without it. */
  find(attemptIndex: number): Promise<string | undefined>;
  /** Best effort: what remains is removed with the job. */
  remove(attemptIndex: number): Promise<void>;
}

export interface PipelineInput {
  readonly jobId: string;
  /** Name of the API key that created the job, which pays for it; null without one. */
  readonly owner: string | null;
  /** The batch whose cap the attempts must not exceed together with its other jobs. */
  readonly batch?: CappedBatch | undefined;
  readonly options: LipsyncOptions;
  readonly workspace: Workspace;
  /** Fetches the inputs. At most once; never when the run only checks whether to keep waiting. */
  fetchInputs(): Promise<FetchedInputs>;
}

export interface PipelineContext extends StorageGuard, RunGuard {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  readonly earlierAttempts: readonly Attempt[];
  /** As in `TakeContext`. */
  readonly run?: number;
  /** As in `ChainContext`. */
  readonly firstAttempt?: number;
  /** Whether an earlier run crashed; attempt durations are then not recorded. */
  readonly wasInterrupted: boolean;
  /** The saved plan; null before planning. */
  readonly plan: ExecutionPlan | null;
  /** Planned output duration; null if not measured. */
  readonly outputMs: number | null;
  readonly keptTakes: KeptTakes;
  /** As in `ChainContext`. */
  readonly latestProbeMs?: number;
  /** Returns whether this host runs providers of that kind. */
  canRun(kind: Provider['kind']): boolean;
  onProgress(progress: ProgressReport): void;
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
  /** Stores when the take of the attempt that begins is expected. */
  saveExpectation?(atMs: number): Promise<void>;
  /** Stores a plan before it is executed. Called again when a waiting job switches providers. */
  savePlan(plan: ExecutionPlan, outputMs: number | null): Promise<void>;
}

export type MadeOutcome = Extract<ChainOutcome, { type: 'made' }>;

export interface PipelineResult extends MadeTake {
  readonly type: 'made';
  /** A finished, probed video in the workspace. */
  readonly takePath: string;
  /** Absent unless this run has assessed the take. */
  readonly fingerprint?: Fingerprint;
  /** What a take that a provider of this service made and nothing assessed is probed for; absent for other takes. */
  readonly expectedPicture?: ExpectedPicture | undefined;
  /** The error that ends the job if the take was lost with the machine that kept it. */
  readonly errorIfLost?: LipsyncError;
}
