import { createHmac, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isLoopbackUrl } from '../http/loopback.ts';
import type { Operation } from '../lipsyncs/operation.ts';
import type { LiveSettings } from '../settings.ts';

/** One attempt to tell a client that a job ended. */
export interface Delivery {
  readonly lipsyncId: string;
  /** The same for an event that is sent again. */
  readonly eventId: string;
  readonly eventType: string;
  readonly at: string;
  /** What the client answered; null where it could not be reached. */
  readonly status: number | null;
}

export interface WebhookSender {
  /** Tells the job's `callback_url`, if it has one on this machine, as late and as often as the settings say. Never throws. */
  send(operation: Operation): Promise<void>;
  deliveries(): readonly Delivery[];
  clear(): void;
}

export interface WebhookDependencies {
  readonly settings: LiveSettings;
  /** Signs the events, as given. */
  readonly secret: string;
  readonly now: () => number;
  /** A link to the video of a completed job. */
  readonly linkTo: (operation: Operation) => string;
  readonly signal: AbortSignal;
}

const timeLimitMs = 5_000;

export function createWebhookSender(dependencies: WebhookDependencies): WebhookSender {
  const { settings, now, signal } = dependencies;
  let deliveries: Delivery[] = [];
  return {
    async send(operation) {
      const url = operation.request.callback_url ?? '';
      if (!isLoopbackUrl(url)) return;
      const { webhookDelayMs, webhookDuplicates, webhookEventPrefix } = settings.current;
      const eventId = randomUUID();
      const eventType = `${webhookEventPrefix}.${operation.status === 'completed' ? 'success' : 'fail'}`;
      await delay(webhookDelayMs, undefined, { signal, ref: false }).catch(() => undefined);
      for (let sent = 0; sent <= webhookDuplicates && !signal.aborted; sent += 1) {
        const status = await post(url, eventType, eventId, operation, dependencies);
        deliveries.push({ lipsyncId: operation.id, eventId, eventType, at: new Date(now()).toISOString(), status });
      }
    },
    deliveries: () => deliveries,
    clear() {
      deliveries = [];
    },
  };
}

async function post(
  url: string,
  eventType: string,
  eventId: string,
  operation: Operation,
  dependencies: WebhookDependencies,
): Promise<number | null> {
  const { secret, now, signal } = dependencies;
  const body = JSON.stringify({ event_type: eventType, event_data: eventData(operation, dependencies) });
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeLimitMs)]),
      headers: {
        'Content-Type': 'application/json',
        'Heygen-Signature': createHmac('sha256', secret).update(body).digest('hex'),
        'Heygen-Timestamp': String(Math.floor(now() / 1000)),
        'Heygen-Event-Id': eventId,
      },
      body,
    });
    await response.body?.cancel();
    return response.status;
  } catch {
    return null;
  }
}

function eventData(operation: Operation, { linkTo }: WebhookDependencies): object {
  const { id, request, status, failureMessage } = operation;
  const ending = status === 'completed' ? { url: linkTo(operation) } : { message: failureMessage };
  return { video_translate_id: id, callback_id: request.callback_id ?? null, ...ending };
}
