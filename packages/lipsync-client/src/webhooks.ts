import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import type { WebhookMessageData, WebhookMessageType } from './contract.ts';
import { LipsyncClientError } from './errors.ts';

interface EventOf<Type extends WebhookMessageType> {
  /** Id of the event. A repeated delivery has the same id. */
  readonly id: string;
  /** Later versions of the service may add types: ignore those that you do not handle. */
  readonly type: Type;
  /** When the event occurred. */
  readonly timestamp: string;
  readonly data: WebhookMessageData<Type>;
}

/** A webhook request of the service, verified. Its `type` decides the shape of its `data`. */
export type WebhookEvent = { [Type in WebhookMessageType]: EventOf<Type> }[WebhookMessageType];

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
export function verifyWebhook(received: ReceivedWebhook): WebhookEvent {
  const body = typeof received.body === 'string' ? received.body : new TextDecoder().decode(received.body);
  const headers = Object.fromEntries(headerNames.map((name) => [name, readHeader(received.headers, name)]));
  if (received.secrets.length === 0) throw new TypeError('At least one webhook secret is required.');
  const isSigned = received.secrets.some((secret) => hasSignature(new Webhook(secret), body, headers));
  if (!isSigned) throw refusal('The webhook has no valid signature, or it is older than five minutes.');
  const event: unknown = parse(body);
  if (!isEvent(event)) throw refusal('The webhook is no event of this service.');
  const { type, timestamp, data } = event;
  // `as`: the service signed the event, so its data has the shape of its type.
  return { id: headers['webhook-id'] ?? '', type, timestamp, data } as WebhookEvent;
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

function isEvent(value: unknown): value is { type: string; timestamp: string; data: object } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    typeof value.type === 'string' &&
    'timestamp' in value &&
    typeof value.timestamp === 'string' &&
    'data' in value &&
    typeof value.data === 'object' &&
    value.data !== null
  );
}

function refusal(message: string, cause?: unknown): LipsyncClientError {
  return new LipsyncClientError(message, { code: 'webhook_invalid', retryable: false, cause });
}
