import type { ErrorCode } from '../errors/index.ts';
import type { ProviderPlan } from '../scheduling/execution-plan.ts';
import type { Provider } from '../providers/provider.ts';
import { isTerminal, type InputReference, type JobRecord, type JobResult } from './job-record.ts';
import type { Warning } from '../contract/provider-types.ts';
import type { Attempt } from '../providers/attempt.ts';

/** What a run of the job reports; only the latest run is listened to. */
type RunEvent = { readonly run: number } & (
  | { readonly type: 'progressed'; readonly stage: string; readonly progress: number; readonly message: string }
  | { readonly type: 'inputs_fetched'; readonly video: InputReference; readonly audio: InputReference }
  | { readonly type: 'planned'; readonly plan: ProviderPlan; readonly outputMs: number | null }
  | { readonly type: 'attempts_changed'; readonly attempts: readonly Attempt[] }
  | { readonly type: 'handed_back' }
  | { readonly type: 'parked'; readonly untilMs: number; readonly message: string }
  | { readonly type: 'handed_on'; readonly needs: Provider['kind'] }
  | {
      readonly type: 'completed';
      readonly atMs: number;
      readonly result: JobResult;
      readonly warnings: readonly Warning[];
    }
  | {
      readonly type: 'failed';
      readonly atMs: number;
      readonly code: ErrorCode;
      readonly message: string;
      readonly warnings: readonly Warning[];
    }
);

/** Everything that can happen to a job. */
export type JobEvent =
  | RunEvent
  | { readonly type: 'run_started'; readonly atMs: number }
  | { readonly type: 'cancel_requested' }
  /** What an attempt that had ended turned out to cost; heard after the job's end, too. */
  | { readonly type: 'attempt_billed'; readonly index: number; readonly costMicros: number }
  | { readonly type: 'canceled'; readonly atMs: number };

/**
 * The record after an event. Pure. A terminal record changes no more, but for bills that come late; a run that was
 * superseded is not heard, progress never goes back; an event that has nothing to say returns the same object.
 */
export function applyJobEvent(record: JobRecord, event: JobEvent): JobRecord {
  if (isTerminal(record.status) && event.type !== 'attempt_billed') return record;
  if ('run' in event && event.run !== record.runs) return record;
  const changed = change(record, event);
  return changed === record ? record : { ...changed, revision: record.revision + 1 };
}

function change(record: JobRecord, event: JobEvent): JobRecord {
  switch (event.type) {
    case 'run_started':
      return startRun(record, event.atMs);
    case 'progressed':
      return applyProgress(record, event);
    case 'inputs_fetched':
      return { ...record, video: event.video, audio: event.audio };
    case 'planned':
      return record.attempts.length === 0 ? { ...record, plan: event.plan, outputMs: event.outputMs } : record;
    case 'attempts_changed':
      return { ...record, attempts: withKnownCosts(event.attempts, record.attempts) };
    case 'handed_back':
      // Also of a run that was parked and did not hear of it.
      return { ...record, status: 'queued', stage: 'queued', message: 'Waiting for a worker.', parkedUntilMs: null };
    case 'parked':
      return { ...record, parkedUntilMs: event.untilMs, stage: 'waiting', message: event.message };
    case 'handed_on':
      return { ...record, status: 'queued', stage: 'queued', message: 'Waiting for a worker.', needs: event.needs };
    case 'cancel_requested':
      return record.cancelRequested ? record : { ...record, cancelRequested: true, message: 'Cancel requested.' };
    case 'attempt_billed':
      return applyBill(record, event);
    case 'completed':
      return {
        ...record,
        status: 'completed',
        stage: 'completed',
        progress: 100,
        message: 'Done.',
        result: event.result,
        warnings: event.warnings,
        completedAtMs: event.atMs,
      };
    case 'failed':
      return {
        ...record,
        status: 'failed',
        stage: 'failed',
        message: event.message,
        error: { code: event.code, message: event.message },
        warnings: event.warnings,
        completedAtMs: event.atMs,
      };
    case 'canceled':
      return { ...record, status: 'canceled', stage: 'canceled', message: 'Canceled.', completedAtMs: event.atMs };
  }
}

function startRun(record: JobRecord, atMs: number): JobRecord {
  const crashed = record.status === 'processing' && record.parkedUntilMs === null;
  return {
    ...record,
    status: 'processing',
    runs: record.runs + 1,
    crashes: crashed ? record.crashes + 1 : record.crashes,
    parkedUntilMs: null,
    startedAtMs: record.startedAtMs ?? atMs,
  };
}

/** A bill that came while the run was busy elsewhere is not known to it, and stands. */
function withKnownCosts(attempts: readonly Attempt[], known: readonly Attempt[]): readonly Attempt[] {
  return attempts.map((attempt, index) => ({
    ...attempt,
    costMicros: attempt.costMicros ?? known[index]?.costMicros ?? null,
  }));
}

function applyBill(record: JobRecord, { index, costMicros }: Extract<JobEvent, { type: 'attempt_billed' }>): JobRecord {
  const billed = record.attempts[index];
  if (!billed || billed.costMicros !== null) return record;
  return { ...record, attempts: record.attempts.with(index, { ...billed, costMicros }) };
}

function applyProgress(record: JobRecord, event: Extract<JobEvent, { type: 'progressed' }>): JobRecord {
  const progress = Math.max(record.progress, Math.min(99, Math.floor(event.progress)));
  const same = progress === record.progress && event.stage === record.stage && event.message === record.message;
  return same ? record : { ...record, stage: event.stage, progress, message: event.message };
}
