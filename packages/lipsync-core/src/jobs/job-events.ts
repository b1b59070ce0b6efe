import type { BatchReference } from './batch-summary.ts';
import type { ErrorCode } from '../errors/index.ts';
import type { ExecutionPlan } from '../scheduling/execution-plan.ts';
import {
  firstAttemptOf,
  inputFields,
  isTerminal,
  queuedMessage,
  type InputReference,
  type JobInputs,
  type JobKind,
  type JobKinds,
  type JobRecord,
  type LipsyncSpec,
  type MadeTake,
  type RunWork,
} from './job-record.ts';
import { retryJob, type RetriedEvent } from './job-retry.ts';
import { hasPendingOperation, markInterrupted, startRun, type RunStartedEvent } from './job-runs.ts';
import type { Warning } from '../contract/provider-types.ts';
import { addTry, postponeTry, replay, type ReplayedEvent, type WebhookTriedEvent } from './webhook-record.ts';
import { withoutTakes, type Attempt } from '../providers/attempt.ts';

/** An event that a run reports. It is ignored unless `run` is the latest run of the job. */
type RunEvent = { readonly run: number } & (
  | { readonly type: 'progressed'; readonly stage: string; readonly progress: number; readonly message: string }
  | { readonly type: 'inputs_fetched'; readonly inputs: JobInputs }
  | { readonly type: 'planned'; readonly plan: ExecutionPlan; readonly outputMs: number | null }
  | { readonly type: 'attempts_changed'; readonly attempts: readonly Attempt[] }
  | { readonly type: 'expected'; readonly atMs: number }
  /** The output is about to be published. A run that finds it published needs the warnings about its marks. */
  | { readonly type: 'marked'; readonly warnings: readonly Warning[] }
  /**
   * The run stops early, for example because its worker shuts down; any worker may run the job. `runId`: given if the
   * number of the run is not certain, because the store did not confirm its start.
   */
  | { readonly type: 'released'; readonly runId?: string }
  | {
      readonly type: 'parked';
      readonly untilMs: number;
      readonly message: string;
      /** The job waits until files can be stored, possibly for days. */
      readonly waitsForStorage?: true;
      /** The job waits for the circuit breaker of its only provider. */
      readonly waitsForProbe?: true;
      /** The job waits for the result of this equal job. */
      readonly waitsForResult?: string;
      /** The next try of a delivery is made no earlier. */
      readonly postponesTry?: true;
      /** A finished take that could not be published. */
      readonly keptTake?: MadeTake;
    }
  /** The job continues on a worker that runs providers of this kind. */
  | { readonly type: 'transferred'; readonly needs: RunWork }
  | WebhookTriedEvent
  | {
      readonly type: 'completed';
      readonly atMs: number;
      /** Of the kind of the job. */
      readonly result: JobKinds[JobKind]['result'];
      readonly warnings: readonly Warning[];
      /** The engine that made the result, which equal jobs may reuse; absent if they may not. */
      readonly engineVersion?: string;
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
  | RetriedEvent
  | RunStartedEvent
  | { readonly type: 'cancel_requested' }
  /** The cost of an ended attempt became known. Accepted after the end of the job, too. */
  | { readonly type: 'attempt_settled'; readonly index: number; readonly costMicros: number }
  | { readonly type: 'canceled'; readonly atMs: number }
  /** Files of an ended job are deleted because of their age. */
  | { readonly type: 'files_deleted'; readonly files: 'inputs' | 'output'; readonly atMs: number }
  | ReplayedEvent
  /** The jobs of a batch that have not started wait until the batch is resumed. */
  | { readonly type: 'batch_paused' }
  | { readonly type: 'batch_resumed' }
  /** A caller requests the same work again: the job is queued as new, but keeps its plan and attempts. */
  | {
      readonly type: 'resumed';
      readonly spec: LipsyncSpec;
      readonly deadlineAtMs: number | null;
      /** The batch that resumes the job. */
      readonly batch?: BatchReference | undefined;
    };

/** Events that change a job which has ended. */
const acceptedAfterEnd: readonly JobEvent['type'][] = [
  'attempt_settled',
  'files_deleted',
  'resumed',
  'replayed',
  'retried',
];

/**
 * Returns the record after an event. Pure. An ended job changes only by late costs, the deletion of its files, a resume,
 * a retry or a replay. Until one of the last three, progress never decreases. Events of an earlier run are ignored, and
 * an event without effect returns the same object.
 */
export function applyJobEvent<Kind extends JobKind>(record: JobRecord<Kind>, event: JobEvent): JobRecord<Kind>;
export function applyJobEvent(record: JobRecord, event: JobEvent): JobRecord {
  if (isTerminal(record.status) && !acceptedAfterEnd.includes(event.type)) return record;
  if ('run' in event && event.run !== record.runs) return record;
  const changed = change(record, event);
  return changed === record ? record : { ...changed, revision: record.revision + 1 };
}

function change(record: JobRecord, event: JobEvent): JobRecord {
  switch (event.type) {
    case 'run_started':
      return record.kind === 'batch' ? withoutItems(startRun(record, event)) : startRun(record, event);
    case 'progressed':
      return applyProgress(record, event);
    case 'inputs_fetched':
      return withInputs(record, event.inputs);
    case 'released':
      if (event.runId !== undefined && event.runId !== record.runId) return record;
      // Clears a parking time as well: the run may not have seen the answer to its `parked` event.
      return {
        ...markInterrupted(record),
        status: 'queued',
        stage: 'queued',
        message: queuedMessage,
        parkedUntilMs: null,
      };
    case 'parked':
      return park(record, event);
    case 'transferred':
      return { ...record, status: 'queued', stage: 'queued', message: queuedMessage, needs: event.needs };
    case 'expected':
      return { ...record, expectedCompletionAtMs: event.atMs };
    case 'cancel_requested':
      return record.cancelRequested ? record : { ...record, cancelRequested: true, message: 'Cancel requested.' };
    case 'completed':
    case 'failed':
    case 'canceled':
      return end(record, event);
    case 'files_deleted':
      return deleteFiles(record, event);
    case 'batch_paused':
    case 'batch_resumed':
      return record.kind === 'batch' ? withPause(record, event.type === 'batch_paused') : record;
    case 'retried':
      return retry(record, event);
    case 'webhook_tried':
      return record.kind === 'webhook' ? addTry(record, event) : record;
    case 'replayed':
      return record.kind === 'webhook' ? replay(record, event) : record;
    case 'planned':
    case 'attempts_changed':
    case 'attempt_settled':
    case 'marked':
    case 'resumed':
      return record.kind === 'lipsync' ? changeLipsync(record, event) : record;
  }
}

function deleteFiles(record: JobRecord, { files, atMs }: Extract<JobEvent, { type: 'files_deleted' }>): JobRecord {
  if (!isTerminal(record.status)) return record;
  if (files === 'inputs')
    return record.inputsDeletedAtMs === undefined ? { ...record, inputsDeletedAtMs: atMs } : record;
  return record.outputDeletedAtMs === undefined ? { ...record, outputDeletedAtMs: atMs } : record;
}

type LipsyncEvent = Extract<
  JobEvent,
  { type: 'planned' | 'attempts_changed' | 'attempt_settled' | 'marked' | 'resumed' }
>;

/** Events that only lip-sync jobs have. */
function changeLipsync(record: JobRecord<'lipsync'>, event: LipsyncEvent): JobRecord<'lipsync'> {
  switch (event.type) {
    case 'planned':
      return record.attempts.length === firstAttemptOf(record)
        ? { ...record, plan: event.plan, outputMs: event.outputMs }
        : record;
    case 'attempts_changed':
      return { ...record, attempts: withKnownCosts(event.attempts, record.attempts) };
    case 'attempt_settled':
      return applyCost(record, event);
    case 'marked':
      return { ...record, markWarnings: event.warnings };
    case 'resumed':
      return resume(record, event);
  }
}

// `as`: the inputs are those that the record had, at another place.
function withInputs(record: JobRecord, inputs: JobInputs): JobRecord {
  return { ...record, spec: { ...record.spec, ...inputs } } as JobRecord;
}

function park(record: JobRecord, event: Extract<JobEvent, { type: 'parked' }>): JobRecord {
  const { untilMs, message, waitsForStorage, waitsForProbe, waitsForResult, keptTake } = event;
  const postponed = waitsForStorage || event.postponesTry ? postponeTry(record, untilMs) : record;
  const parked = {
    ...(waitsForStorage || waitsForProbe ? withoutExpectation(postponed) : postponed),
    parkedUntilMs: untilMs,
    stage: 'waiting',
    message,
    ...(waitsForProbe && { waitsForProbe }),
    ...(waitsForResult !== undefined && { waitsForResult }),
  };
  if (waitsForStorage) return { ...parked, crashes: 0, waitsForStorage, ...(keptTake && { keptTake }) };
  const waitsForOther = waitsForProbe || waitsForResult !== undefined;
  return hasPendingOperation(record) && !waitsForOther ? { ...parked, crashes: 0 } : parked;
}

function retry(record: JobRecord, event: RetriedEvent): JobRecord {
  const retried = retryJob(record, event);
  return retried === record ? record : withoutExpectation(retried);
}

/** Waits for storage and for a circuit breaker have no known end. */
function withoutExpectation(record: JobRecord): JobRecord {
  const { expectedCompletionAtMs: _, ...rest } = record;
  return rest;
}

/** An ended job fetches nothing more, and the query of a URL may be a secret. A resumed job gets a new specification. */
function end(record: JobRecord, event: Extract<JobEvent, { type: 'completed' | 'failed' | 'canceled' }>): JobRecord {
  const kept =
    record.kind === 'batch' ? withoutItems(record) : withInputs(withoutKeptTakes(record), withoutQueries(record.spec));
  const ended = { ...kept, completedAtMs: event.atMs };
  switch (event.type) {
    case 'completed': {
      const { result, warnings } = event;
      // `as`: a run reports a result of the kind of its job.
      return { ...ended, ...endState('completed', 'Done.'), progress: 100, result, warnings } as JobRecord;
    }
    case 'failed': {
      const { code, message, warnings } = event;
      return { ...ended, ...endState('failed', message), error: { code, message }, warnings };
    }
    case 'canceled':
      return { ...ended, ...endState('canceled', 'Canceled.') };
  }
}

function endState<Status extends 'completed' | 'failed' | 'canceled'>(status: Status, message: string) {
  return { status, stage: status, message };
}

function withoutKeptTakes(record: JobRecord): JobRecord {
  if (record.kind !== 'lipsync') return record;
  const { keptTake: _take, markWarnings: _warnings, ...rest } = record;
  return { ...rest, attempts: withoutTakes(record.attempts) };
}

function withPause(batch: JobRecord<'batch'>, isPaused: boolean): JobRecord<'batch'> {
  const { isPaused: wasPaused = false, ...spec } = batch.spec;
  if (wasPaused === isPaused) return batch;
  return { ...batch, spec: isPaused ? { ...spec, isPaused } : spec };
}

/** The jobs of a batch are stored when it starts; from then on only they name its inputs. */
function withoutItems(batch: JobRecord<'batch'>): JobRecord<'batch'> {
  return { ...batch, spec: { ...batch.spec, items: [] } };
}

function withoutQueries(inputs: JobInputs): JobInputs {
  const given = inputFields.flatMap((field) => {
    const input = inputs[field];
    return input ? [[field, withoutQuery(input)] as const] : [];
  });
  return Object.fromEntries(given);
}

function withoutQuery(input: InputReference): InputReference {
  if (input.kind !== 'url') return input;
  const url = input.url.replace(/[?#].*/s, '');
  return url === input.url ? input : { kind: 'url', url, isCut: true };
}

/** An attempt that exists was interrupted. */
function resume(
  record: JobRecord<'lipsync'>,
  { spec, deadlineAtMs, batch }: Extract<JobEvent, { type: 'resumed' }>,
): JobRecord<'lipsync'> {
  const { batch: _batch, wasInterrupted: _interrupted, ...rest } = record;
  return {
    ...rest,
    ...(batch && { batch }),
    ...(record.attempts.length > 0 && { wasInterrupted: true }),
    spec,
    status: 'queued',
    stage: 'queued',
    progress: 0,
    message: queuedMessage,
    crashes: 0,
    cancelRequested: false,
    parkedUntilMs: null,
    warnings: [],
    result: null,
    error: null,
    completedAtMs: null,
    deadlineAtMs,
  };
}

/** Keeps costs that were settled while the run worked: the run does not have them. */
function withKnownCosts(attempts: readonly Attempt[], known: readonly Attempt[]): readonly Attempt[] {
  return attempts.map((attempt, index) => ({
    ...attempt,
    costMicros: attempt.costMicros ?? known[index]?.costMicros ?? null,
  }));
}

function applyCost(
  record: JobRecord<'lipsync'>,
  { index, costMicros }: Extract<JobEvent, { type: 'attempt_settled' }>,
): JobRecord<'lipsync'> {
  const attempt = record.attempts[index];
  if (!attempt || attempt.costMicros !== null) return record;
  return { ...record, attempts: record.attempts.with(index, { ...attempt, costMicros }) };
}

function applyProgress(record: JobRecord, event: Extract<JobEvent, { type: 'progressed' }>): JobRecord {
  const progress = Math.max(record.progress, Math.min(99, Math.floor(event.progress)));
  const same = progress === record.progress && event.stage === record.stage && event.message === record.message;
  return same ? record : { ...record, stage: event.stage, progress, message: event.message };
}
