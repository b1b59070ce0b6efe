import { createHmac, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isLoopbackUrl } from './http/loopback-server.ts';
import type { Operation } from './lipsyncs/operation.ts';
import type { LiveSettings } from './settings.ts';

/** One attempt to deliver an event. */
export interface Delivery {
  readonly lipsyncId: string;
  /** Repeated deliveries of an event have the same id. */
  readonly eventId: string;
  readonly eventType: string;
  readonly at: string;
  /** Status of the response; null when the receiver is unreachable. */
  readonly status: number | null;
}

export interface WebhookSenderOptions {
  readonly settings: LiveSettings;
  readonly secret: string;
  readonly now: () => number;
  /** Creates a link to the video of a completed job. */
  readonly createVideoLink: (operation: Operation) => string;
  readonly signal: AbortSignal;
}

interface Event {
  readonly id: string;
  readonly type: string;
  readonly body: string;
}

const deliveryTimeoutMs = 5_000;

/** Sends signed events about ended jobs to their `callback_url`. */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  #deliveries: Delivery[] = [];

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
  }

  /**
   * Sends an event with the configured delay and duplicates, if the job has a callback URL on this machine. Never
   * throws.
   */
  async send(operation: Operation): Promise<void> {
    const { settings, now, signal } = this.#options;
    const url = operation.request.callback_url ?? '';
    if (!isLoopbackUrl(url)) return;
    const { webhookDelayMs, webhookDuplicates, webhookEventPrefix } = settings.current;
    const type = `${webhookEventPrefix}.${operation.status === 'completed' ? 'success' : 'fail'}`;
    const id = randomUUID();
    await delay(webhookDelayMs, undefined, { signal, ref: false }).catch(() => undefined);
    for (let sent = 0; sent <= webhookDuplicates && !signal.aborted; sent += 1) {
      const body = JSON.stringify({ event_type: type, event_data: this.#eventData(operation) });
      const status = await this.#post(url, { id, type, body });
      const at = new Date(now()).toISOString();
      this.#deliveries.push({ lipsyncId: operation.id, eventId: id, eventType: type, at, status });
    }
  }

  deliveries(): readonly Delivery[] {
    return this.#deliveries;
  }

  clear(): void {
    this.#deliveries = [];
  }

  async #post(url: string, { id, body }: Event): Promise<number | null> {
    const { secret, now, signal } = this.#options;
    try {
      const response = await fetch(url, {
        method: 'POST',
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(deliveryTimeoutMs)]),
        headers: {
          'Content-Type': 'application/json',
          'Heygen-Signature': createHmac('sha256', secret).update(body).digest('hex'),
          'Heygen-Timestamp': String(Math.floor(now() / 1000)),
          'Heygen-Event-Id': id,
        },
        body,
      });
      await response.body?.cancel();
      return response.status;
    } catch {
      return null;
    }
  }

  #eventData(operation: Operation): object {
    const { id, request, status, failureMessage } = operation;
    const result =
      status === 'completed' ? { url: this.#options.createVideoLink(operation) } : { message: failureMessage };
    return { video_translate_id: id, callback_id: request.callback_id ?? null, ...result };
  }
}
