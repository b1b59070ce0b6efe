import type { Attempt } from '../providers/attempt.ts';
import type { JobKind, JobRecord } from './job-record.ts';

/** A run starts. `traceparent`: that of its span, if there is one. `runId`: random. */
export interface RunStartedEvent {
  readonly type: 'run_started';
  readonly atMs: number;
  readonly traceparent?: string | undefined;
  readonly runId?: string;
}

/** Returns the record of a job whose next run starts. Pure. */
export function startRun<Kind extends JobKind>(record: JobRecord<Kind>, event: RunStartedEvent): JobRecord<Kind>;
export function startRun(record: JobRecord, { atMs, traceparent, runId }: RunStartedEvent): JobRecord {
  const crashed = record.status === 'processing' && record.parkedUntilMs === null;
  const { waitsForStorage, waitsForProbe: _probe, waitsForResult: _result, runId: _runId, ...rest } = record;
  const started = {
    status: 'processing',
    runs: record.runs + 1,
    crashes: crashed ? record.crashes + 1 : record.crashes,
    parkedUntilMs: null,
    startedAtMs: record.startedAtMs ?? atMs,
    ...(traceparent !== undefined && { runTraceparent: traceparent }),
    ...(runId !== undefined && { runId }),
  } as const;
  if (rest.kind !== 'lipsync') return { ...rest, ...started };
  const restartsLimit = waitsForStorage && !rest.keptTake;
  return {
    ...rest,
    ...started,
    // Not `crashed` alone: records of earlier versions have crashes, but no mark of an interruption.
    ...(started.crashes > 0 && { wasInterrupted: true }),
    ...(restartsLimit && { attempts: restartLimit(rest.attempts, atMs) }),
  };
}

/** The duration of a running attempt includes the time until the next run. */
export function markInterrupted(record: JobRecord): JobRecord {
  if (record.kind !== 'lipsync' || record.attempts.at(-1)?.outcome !== 'running') return record;
  return { ...record, wasInterrupted: true };
}

/**
 * A wait for storage does not use up the time limit of an operation: after a long one, a single failure of the vendor
 * would end an attempt whose take is paid for.
 */
function restartLimit(attempts: readonly Attempt[], atMs: number): readonly Attempt[] {
  const last = attempts.at(-1);
  return last?.operation ? [...attempts.slice(0, -1), { ...last, operationAtMs: atMs }] : attempts;
}

/**
 * Returns whether the vendor works on an operation of the job. Workers that are killed or restarted now and then during
 * that wait must not end the job. A take that is being fetched may be what crashes them.
 */
export function hasPendingOperation(record: JobRecord): boolean {
  const last = record.kind === 'lipsync' ? record.attempts.at(-1) : undefined;
  return last?.outcome === 'running' && last.operation !== null && last.costMicros === null;
}
