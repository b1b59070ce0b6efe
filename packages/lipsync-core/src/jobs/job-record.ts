import type { JobStatus, LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { ErrorCode } from '../errors/index.ts';
import type { ProviderPlan } from '../scheduling/execution-plan.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { Provider } from '../providers/provider.ts';
import type { Warning } from '../contract/provider-types.ts';

/** Where an input is: in the artifact store, or still at the URL that the caller named. */
export type InputReference =
  | { readonly kind: 'artifact'; readonly key: string; readonly name: string }
  | { readonly kind: 'url'; readonly url: string };

/** What came out, once a job is completed. */
export interface JobResult {
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  readonly cached: boolean;
  readonly durationMs: number;
  readonly outputKey: string;
}

/** The truth about a job. Holds no path of any machine. Changed only through `applyJobEvent`. */
export interface JobRecord {
  readonly id: string;
  /** Increases with every change; stores use it to refuse lost updates. */
  readonly revision: number;
  readonly status: JobStatus;
  readonly stage: string;
  /** 0–100, never decreasing. */
  readonly progress: number;
  readonly message: string;
  readonly options: LipsyncOptions;
  readonly video: InputReference;
  readonly audio: InputReference;
  /** Name of the API key that created the job, or null where the API is open. */
  readonly owner: string | null;
  /** How often a worker began to work on it; reports of any but the latest run are ignored. */
  readonly runs: number;
  /** How many of those runs ended without a word: the worker was killed or lost its lock. */
  readonly crashes: number;
  readonly cancelRequested: boolean;
  /** When to look again at a job that only waits; null while it is worked on or waits for a worker. */
  readonly parkedUntilMs: number | null;
  /** The providers to try, in order; null until that is known. Never changes once one of them was tried. */
  readonly plan: ProviderPlan | null;
  /** How long the output is going to be; null where the plan was made without knowing. */
  readonly outputMs: number | null;
  /** What kind of provider it goes on with; null where any worker may take it. */
  readonly needs: Provider['kind'] | null;
  readonly attempts: readonly Attempt[];
  readonly warnings: readonly Warning[];
  readonly result: JobResult | null;
  readonly error: { readonly code: ErrorCode; readonly message: string } | null;
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly completedAtMs: number | null;
  readonly deadlineAtMs: number | null;
}

/** Whether something may be running elsewhere for the job, so that ending it takes more than saying so. */
export function isUnderWay({ attempts }: Pick<JobRecord, 'attempts'>): boolean {
  return attempts.at(-1)?.outcome === 'running';
}

export function isTerminal(status: JobStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'canceled';
}
