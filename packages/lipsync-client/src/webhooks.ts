import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import type { WebhookMessageData } from './contract.ts';
import { LipsyncClientError } from './errors.ts';

/** A webhook request of the service, verified. */
export interface WebhookEvent<Data = WebhookMessageData> {
  /** Id of the event. A repeated delivery has the same id. */
  readonly id: string;
  /** A `WebhookMessageType`, such as `lipsync.completed`; later versions may add types. */
  readonly type: string;
  /** When the event occurred. */
  readonly timestamp: string;
  readonly data: Data;
}

export interface ReceivedWebhook {
  /** The body exactly as it arrived. Parsed and printed again, it would fail the check. */
  readonly body: string | Uint8Array;
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Secrets (`whsec_…`), any of which may have signed: two while one replaces the other. */
  readonly secrets: readonly string[];
}

const headerNames = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const;

/**
 * Checks signature and age (5 minutes) of a webhook request by Standard Webhooks and returns its event. Throws the code
 * `webhook_invalid`; respond with 400 then.
 */
export function verifyWebhook<Data = WebhookMessageData>(received: ReceivedWebhook): WebhookEvent<Data> {
  const body = typeof received.body === 'string' ? received.body : new TextDecoder().decode(received.body);
  const headers = Object.fromEntries(headerNames.map((name) => [name, readHeader(received.headers, name)]));
  if (received.secrets.length === 0) throw new TypeError('At least one webhook secret is required.');
  const isSigned = received.secrets.some((secret) => hasSignature(new Webhook(secret), body, headers));
  if (!isSigned) throw refusal('The webhook has no valid signature, or it is older than five minutes.');
  const event: unknown = parse(body);
  if (!isEvent<Data>(event)) throw refusal('The webhook is no event of this service.');
  return { id: headers['webhook-id'] ?? '', type: event.type, timestamp: event.timestamp, data: event.data };
}

/** A body that is no JSON is signed as well as another. */
function hasSignature(webhook: Webhook, body: string, headers: Record<string, string>): boolean {
  try {
    webhook.verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    if (error instanceof SyntaxError) return true;
    throw error;
  }
}

function readHeader(headers: ReceivedWebhook['headers'], name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? '';
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? [];
  return typeof value === 'string' ? value : (value?.join(' ') ?? '');
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw refusal('The webhook is no JSON.', cause);
  }
}

function isEvent<Data>(value: unknown): value is Omit<WebhookEvent<Data>, 'id'> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    typeof value.type === 'string' &&
    'timestamp' in value &&
    typeof value.timestamp === 'string' &&
    'data' in value &&
    typeof value.data === 'object'
  );
}

function refusal(message: string, cause?: unknown): LipsyncClientError {
  return new LipsyncClientError(message, { code: 'webhook_invalid', retryable: false, cause });
}
