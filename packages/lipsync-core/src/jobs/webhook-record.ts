import { isTerminal, newEnvelope, queuedMessage, type JobRecord, type NewEnvelope } from './job-record.ts';
import type { WebhookMessage, WebhookTry } from './webhook-delivery.ts';

/** Values of a new delivery. */
export interface NewWebhookJob extends WebhookMessage, Omit<NewEnvelope, 'deadlineMs' | 'needs' | 'batch'> {}

/** Returns the record of a message that is to be sent at once. Pure. */
export function newWebhookRecord({ url, event, subjectId, body, ...rest }: NewWebhookJob): JobRecord<'webhook'> {
  return {
    ...newEnvelope({ ...rest, needs: 'deliver' }),
    kind: 'webhook',
    spec: { url, event, subjectId, body },
    tries: [],
    triesInRound: 0,
    nextTryAtMs: rest.nowMs,
    result: null,
  };
}

/** A message was sent, or could not be sent. */
export interface WebhookTriedEvent {
  readonly type: 'webhook_tried';
  readonly attempt: WebhookTry;
  /** Replays of the delivery when the try began. */
  readonly replays: number;
  /** Null when there is no other try. */
  readonly nextTryAtMs: number | null;
}

/** A caller requests a message again. */
export interface ReplayedEvent {
  readonly type: 'replayed';
  readonly atMs: number;
}

const maxStoredTries = 20;

/** Returns a delivery after a try. Pure. Workers that are killed during the days of a delivery must not end it. */
export function addTry(
  record: JobRecord<'webhook'>,
  { attempt, replays, nextTryAtMs }: WebhookTriedEvent,
): JobRecord<'webhook'> {
  const tries = [...record.tries, attempt].slice(-maxStoredTries);
  // A replay during a try that failed is still due.
  if (attempt.reason !== null && replays !== (record.replays ?? 0)) return { ...record, tries, crashes: 0 };
  return { ...record, tries, triesInRound: record.triesInRound + 1, nextTryAtMs, crashes: 0 };
}

/** Returns a delivery that is due no earlier; any other job unchanged. Pure. */
export function postponeTry(record: JobRecord, untilMs: number): JobRecord {
  return record.kind === 'webhook' ? { ...record, nextTryAtMs: untilMs } : record;
}

/** Returns a delivery that is due at once and whose schedule starts again. Pure. */
export function replay(record: JobRecord<'webhook'>, { atMs }: ReplayedEvent): JobRecord<'webhook'> {
  const due = { ...record, replays: (record.replays ?? 0) + 1, triesInRound: 0, nextTryAtMs: atMs, crashes: 0 };
  if (!isTerminal(record.status)) return due;
  return {
    ...due,
    status: 'queued',
    stage: 'queued',
    progress: 0,
    message: queuedMessage,
    cancelRequested: false,
    parkedUntilMs: null,
    result: null,
    error: null,
    completedAtMs: null,
  };
}
