import { Webhook } from 'standardwebhooks';
import { LipsyncError } from '../errors/index.ts';
import { annotateSpan, failSpan, traced } from '../tracing/spans.ts';
import { RequestError, type GuardedClient } from '../net/index.ts';

/** What a receiver gets; at most `maxPayloadBytes` as JSON. */
export interface WebhookPayload {
  readonly type: string;
  /** ISO 8601; when the event happened, not when it is sent. */
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Outcome of one try. */
export type WebhookAnswer =
  | { readonly type: 'delivered'; readonly status: number }
  /** The receiver answered 410, now or before: no other try. */
  | { readonly type: 'refused'; readonly status: number | null; readonly reason: string }
  | {
      readonly type: 'failed';
      readonly status: number | null;
      readonly reason: string;
      /** No try before this time, as the receiver asks. */
      readonly notBeforeMs?: number;
    };

/** The event of a running job. Its next message replaces one that is not delivered, so it is tried once. */
export const progressEvent = 'lipsync.progress';

/** What a delivery sends. */
export interface WebhookMessage {
  readonly url: string;
  /** Type of the event, such as `lipsync.completed`. */
  readonly event: string;
  /** Id of the job that the event is about. */
  readonly subjectId: string;
  /** JSON that is signed and sent byte for byte. */
  readonly body: string;
}

/** One try to deliver a message. */
export interface WebhookTry {
  readonly atMs: number;
  /** HTTP status; null without an answer. */
  readonly status: number | null;
  /** Why it failed; null if it was delivered. */
  readonly reason: string | null;
}

/** Working state of a delivery. */
export interface WebhookState {
  /** The latest tries, oldest first. */
  readonly tries: readonly WebhookTry[];
  /** Number of tries since the delivery began, or was last requested again. */
  readonly triesInRound: number;
  /** Time of the next try; null after the last one. */
  readonly nextTryAtMs: number | null;
  /** How often a caller requested the message again. */
  readonly replays?: number;
}

export interface WebhookSenderOptions {
  readonly client: GuardedClient;
  /** One or two; the receiver accepts a message that is signed with any of them. */
  readonly secrets: readonly string[];
  readonly timeoutMs?: number;
}

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

/** Delays before the tries of a message; the first is sent at once. About three days in total. */
const webhookDelaysMs = Object.freeze([
  0,
  5 * second,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  14 * hour,
  20 * hour,
  24 * hour,
]);

const maxPayloadBytes = 20_000;
const jitter = 0.1;

/** Returns when to try again after `tries` tries; null when the last one was made. `random` is from 0 to 1. Pure. */
export function nextWebhookTryAtMs(tries: number, nowMs: number, random: number): number | null {
  const delayMs = webhookDelaysMs[tries];
  return delayMs === undefined ? null : nowMs + Math.round(delayMs * (1 + jitter * random));
}

/** Returns the body of a message. Throws `internal` for a payload over the limit. */
export function toWebhookBody(payload: WebhookPayload): string {
  const body = JSON.stringify(payload);
  if (Buffer.byteLength(body) < maxPayloadBytes) return body;
  throw new LipsyncError('internal', `The payload of the event ${payload.type} exceeds ${maxPayloadBytes} bytes.`);
}

type SentMessage = { readonly id: string } & Pick<WebhookMessage, 'url' | 'body'>;

/** Posts signed messages as Standard Webhooks describes. */
export class WebhookSender {
  readonly #options: Required<WebhookSenderOptions>;
  readonly #signers: readonly Webhook[];

  constructor(options: WebhookSenderOptions) {
    this.#options = { timeoutMs: 15 * second, ...options };
    this.#signers = options.secrets.map((secret) => new Webhook(secret));
  }

  /** Makes one try. Throws only when `signal` aborts. Without a secret nothing is sent. */
  send(message: SentMessage, nowMs: number, signal: AbortSignal): Promise<WebhookAnswer> {
    return traced('deliver webhook', { kind: 'CLIENT' }, async () => {
      const answer = await this.#send(message, nowMs, signal);
      annotateSpan({ 'http.response.status_code': answer.status });
      if (answer.type !== 'delivered') failSpan('webhook_failed');
      return answer;
    });
  }

  async #send({ id, url, body }: SentMessage, nowMs: number, signal: AbortSignal): Promise<WebhookAnswer> {
    const { client, timeoutMs } = this.#options;
    if (this.#signers.length === 0)
      return { type: 'failed', status: null, reason: 'LIPSYNC_WEBHOOK_SECRETS is not set, so nothing can be signed.' };
    const sentAt = new Date(nowMs);
    try {
      const { status, retryAfter } = await client.notify(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(Math.floor(nowMs / second)),
          'webhook-signature': this.#signers.map((signer) => signer.sign(id, sentAt, body)).join(' '),
        },
        body,
        timeoutMs,
        idleTimeoutMs: timeoutMs,
        signal,
      });
      const answer = toAnswer(status);
      const notBeforeMs = parseRetryAfter(retryAfter, nowMs);
      return answer.type === 'failed' && notBeforeMs !== null ? { ...answer, notBeforeMs } : answer;
    } catch (error) {
      signal.throwIfAborted();
      if (!LipsyncError.isInstance(error)) throw error;
      // A host name may resolve to another address next time, so a forbidden address fails only this try.
      const reason = error instanceof RequestError ? `${capitalize(error.finding)}.` : error.message;
      return { type: 'failed', status: null, reason };
    }
  }
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function toAnswer(status: number): WebhookAnswer {
  if (status >= 200 && status < 300) return { type: 'delivered', status };
  if (status === 410) return { type: 'refused', status, reason: 'The receiver answered 410 (gone).' };
  return { type: 'failed', status, reason: `The receiver answered ${status}.` };
}

const maxRetryAfterMs = 24 * hour;

/** The time that a `Retry-After` header names, at most a day ahead; null without a valid one. */
function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const atMs = /^\d{1,9}$/.test(header) ? nowMs + Number(header) * second : Date.parse(header);
  return Number.isNaN(atMs) ? null : Math.min(atMs, nowMs + maxRetryAfterMs);
}
