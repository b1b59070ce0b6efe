import { jobKinds, isTerminal, type JobKind, type JobRecord } from '@lipsync/core/host';
import { jobStatuses, type JobStatus } from '@lipsync/core/contract';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { jobCountsKey, statusKey } from './job-keys.ts';

/** Labels of a count; a label without a value is `none`. */
export interface EndedJobs {
  readonly kind: string;
  readonly status: string;
  /** The requested method. */
  readonly method: string;
  /** Error code. */
  readonly code: string;
  readonly count: number;
}

export interface EndedAttempts {
  readonly provider: string;
  readonly outcome: string;
  readonly code: string;
  readonly count: number;
}

/** What ended since the installation began, or since the first version that counts. */
export interface JobCounts {
  readonly ended: readonly EndedJobs[];
  readonly attempts: readonly EndedAttempts[];
  /** Jobs that reused the result of an equal one. */
  readonly cacheHits: number;
  /** Outputs that are not marked although they should be. */
  readonly unmarkedOutputs: number;
}

const none = 'none';
const cacheHit = 'cache-hit';
const unmarkedOutput = 'unmarked-output';

/**
 * Returns the counts that a change of a job adds one to, as fields of the stored hash. A job that is retried counts at
 * each of its ends. Pure.
 */
export function countsOf(current: JobRecord, next: JobRecord): readonly string[] {
  return [...listEnds(current, next), ...listEndedAttempts(current, next)];
}

function listEnds(current: JobRecord, next: JobRecord): readonly string[] {
  if (isTerminal(current.status) || !isTerminal(next.status)) return [];
  const { kind, status, error } = next;
  const method = kind === 'lipsync' ? next.spec.options.method : none;
  const ended = `ended:${kind}:${status}:${method}:${error?.code ?? none}`;
  if (kind !== 'lipsync') return [ended];
  const isUnmarked = status === 'completed' && next.warnings.some(({ code }) => code === 'output_not_marked');
  return [ended, ...(next.result?.cached ? [cacheHit] : []), ...(isUnmarked ? [unmarkedOutput] : [])];
}

function listEndedAttempts(current: JobRecord, next: JobRecord): readonly string[] {
  if (current.kind !== 'lipsync' || next.kind !== 'lipsync' || current.attempts === next.attempts) return [];
  return next.attempts.flatMap(({ provider, outcome, code }, index) => {
    const before = current.attempts[index]?.outcome ?? 'running';
    return before === 'running' && outcome !== 'running' ? [`attempt:${provider}:${outcome}:${code ?? none}`] : [];
  });
}

/** Reads the counts; the job store adds to them. */
export async function readJobCounts(connection: Redis): Promise<JobCounts> {
  const stored = Object.entries(await guardRedis(() => connection.hgetall(jobCountsKey)));
  const fields = stored.map(([field, count]) => ({ parts: field.split(':'), count: Number(count) }));
  const countOf = (field: string): number => fields.find(({ parts: [type] }) => type === field)?.count ?? 0;
  return {
    ended: fields.flatMap(({ parts: [type, kind = '', status = '', method = '', code = ''], count }) =>
      type === 'ended' ? [{ kind, status, method, code, count }] : [],
    ),
    attempts: fields.flatMap(({ parts: [type, provider = '', outcome = '', code = ''], count }) =>
      type === 'attempt' ? [{ provider, outcome, code, count }] : [],
    ),
    cacheHits: countOf(cacheHit),
    unmarkedOutputs: countOf(unmarkedOutput),
  };
}

/** Numbers of stored jobs, from the sizes of the indexes. */
export async function readStoredJobs(
  connection: Redis,
): Promise<readonly { readonly kind: JobKind; readonly status: JobStatus; readonly count: number }[]> {
  const states = jobKinds.flatMap((kind) => jobStatuses.map((status) => ({ kind, status })));
  return guardRedis(() =>
    Promise.all(
      states.map(async ({ kind, status }) => ({
        kind,
        status,
        count: await connection.zcard(statusKey(kind, status)),
      })),
    ),
  );
}
