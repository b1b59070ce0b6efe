import type { ErrorCode } from '../errors/index.ts';
import { unacknowledgedRequest } from '../providers/attempt-log.ts';
import type { Attempt } from '../providers/attempt.ts';
import { settlementMaxAgeMs } from '../providers/settlement-reconciler.ts';
import { inputFields, queuedMessage, type JobRecord, type JobStart } from './job-record.ts';

/** A caller runs a failed job again. */
export interface RetriedEvent {
  readonly type: 'retried';
  readonly atMs: number;
  /** Plan and lane, as those of a new job. */
  readonly start: JobStart;
}

/** Time at which the job was accepted, or last retried. */
export function acceptedAtMs({ createdAtMs, retry }: Pick<JobRecord, 'createdAtMs' | 'retry'>): number {
  return retry?.atMs ?? createdAtMs;
}

/** Errors with which a job gives up an operation that the vendor may still finish, or whose take it still has. */
const givenUpCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'deadline_exceeded',
  'internal',
  'marking_failed',
  'media_failed',
  'provider_protocol',
  'provider_timeout',
  'provider_unavailable',
  'rate_limited',
  'resource_exhausted',
  'storage_unwritable',
  'worker_crashed',
]);

/**
 * Returns a failed lip-sync or quality job as a queued one that may try every provider again; any other record as it is.
 * Pure. Attempts and their costs stay. An operation that may be paid for is continued rather than started again.
 */
export function retryJob(record: JobRecord, { atMs, start }: RetriedEvent): JobRecord {
  if (record.status !== 'failed' || record.kind === 'batch' || record.kind === 'webhook') return record;
  if (record.inputsDeletedAtMs !== undefined) return record;
  const { deadlineMs } = record.spec.options;
  const state = {
    status: 'queued',
    stage: 'queued',
    progress: 0,
    message: queuedMessage,
    crashes: 0,
    cancelRequested: false,
    parkedUntilMs: null,
    warnings: [],
    error: null,
    startedAtMs: null,
    completedAtMs: null,
    deadlineAtMs: deadlineMs === undefined ? null : atMs + deadlineMs,
  } as const;
  const count = countRetries(record) + 1;
  if (record.kind !== 'lipsync') return { ...record, ...state, retry: { count, atMs, firstAttempt: 0 } };
  // The output that was deleted because of its age is not the one that the retry makes.
  const { outputDeletedAtMs: _output, wasInterrupted: _interrupted, ...kept } = record;
  const { attempts } = record;
  const continued = findContinuedAttempt(attempts, atMs);
  return {
    ...kept,
    ...state,
    ...start,
    retry: { count, atMs, firstAttempt: continued ? attempts.length - 1 : attempts.length },
    ...(continued && {
      needs: 'remote',
      attempts: [...attempts.slice(0, -1), reopen(continued, atMs)],
      // The time until the retry is no time of the provider.
      wasInterrupted: true,
    }),
  };
}

/** Number of retries of a job so far. */
export function countRetries({ retry }: Pick<JobRecord, 'retry'>): number {
  return retry?.count ?? 0;
}

/** Why a failed job cannot be retried now; undefined if it can. Pure. */
export function findRetryObstacle(record: JobRecord, atMs: number): 'inputs_gone' | 'cost_unknown' | undefined {
  const isCut = inputFields.some((field) => {
    const input = record.spec[field];
    return input?.kind === 'url' && input.isCut === true;
  });
  if (isCut || record.inputsDeletedAtMs !== undefined) return 'inputs_gone';
  if (record.kind !== 'lipsync') return undefined;
  const continued = findContinuedAttempt(record.attempts, atMs);
  const isUnknown = record.attempts.some((attempt) => attempt !== continued && mayBeBilled(attempt, atMs));
  return isUnknown ? 'cost_unknown' : undefined;
}

/** The last attempt if its operation may still deliver a take that is, or will be, paid for. */
function findContinuedAttempt(attempts: readonly Attempt[], atMs: number): Attempt | undefined {
  const last = attempts.at(-1);
  if (!last || last.isStopSent || !isRecent(last, atMs)) return undefined;
  if (last.outcome === 'succeeded') return last.operation ? last : undefined;
  if (last.code === null || !givenUpCodes.has(last.code)) return undefined;
  if (last.operation) return last.costMicros === 0 ? undefined : last;
  return unacknowledgedRequest(last) && last.costMicros === null ? last : undefined;
}

/** Its time limits count from the retry. */
function reopen({ code: _code, message: _message, ...attempt }: Attempt, atMs: number): Attempt {
  return {
    ...attempt,
    code: null,
    message: null,
    outcome: 'running',
    endedAtMs: null,
    transientFailures: 0,
    operationAtMs: attempt.operation ? atMs : null,
  };
}

function mayBeBilled(attempt: Attempt, atMs: number): boolean {
  const { costMicros, operation } = attempt;
  return (
    costMicros === null && isRecent(attempt, atMs) && (operation !== null || unacknowledgedRequest(attempt) !== null)
  );
}

/** Later, the vendor no longer has the operation. */
function isRecent({ endedAtMs }: Attempt, atMs: number): boolean {
  return endedAtMs === null || atMs - endedAtMs < settlementMaxAgeMs;
}
