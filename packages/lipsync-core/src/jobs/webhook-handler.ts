import type { Clock } from '../contract/ports.ts';
import { failStore } from '../storage/store-failure.ts';
import type { JobEvent } from './job-events.ts';
import type { JobHandler, JobRun } from './job-handler.ts';
import { requireKind, type JobRecord } from './job-record.ts';
import type { ReceiverSwitches } from './receiver-switches.ts';
import {
  nextWebhookTryAtMs,
  progressEvent,
  type WebhookAnswer,
  type WebhookSender,
  type WebhookTry,
} from './webhook-delivery.ts';

export interface WebhookHandlerOptions {
  readonly sender: Pick<WebhookSender, 'send'>;
  readonly receivers: Pick<ReceiverSwitches, 'isOff' | 'switchOff' | 'switchOn'>;
  readonly clock: Clock;
  /** Maximum number of messages of one API key that are sent at once. */
  readonly maxPerKey?: number;
  /** From 0 to 1; spreads the tries of messages that failed together. */
  random?(): number;
}

/**
 * Delivers messages: one try per run, then the job waits until the next. A try is stored before the job ends or waits,
 * so that a killed worker repeats at most the try that it was making.
 */
export class WebhookHandler implements JobHandler<'webhook'> {
  readonly #options: Required<WebhookHandlerOptions>;
  /** Number of messages that are being sent, by API key. */
  readonly #sending = new Map<string | null, number>();

  constructor(options: WebhookHandlerOptions) {
    this.#options = { maxPerKey: 8, random: Math.random, ...options };
  }

  async run({ record, store, signal }: JobRun<'webhook'>): Promise<JobEvent> {
    const { clock, random } = this.#options;
    const known = this.#outcome(record);
    if (known) return known;
    const { id, owner, runs: run, triesInRound, replays = 0 } = record;
    const atMs = clock.nowMs();
    const sending = this.#sending.get(owner) ?? 0;
    const isBusy = sending >= this.#options.maxPerKey;
    const isOnce = record.spec.event === progressEvent && replays === 0;
    if (isOnce && (isBusy || atMs - record.createdAtMs > maxProgressAgeMs))
      return { type: 'failed', run, atMs, code: 'webhook_failed', message: outOfDate, warnings: [] };
    if (isBusy) {
      // Receivers that never answer must not occupy all workers.
      const untilMs = atMs + Math.round(busyPauseOf(record, atMs) * (1 + random()));
      const message = 'Waiting until other messages of the key are sent.';
      return { type: 'parked', run, untilMs, message, postponesTry: true };
    }
    this.#sending.set(owner, sending + 1);
    const answer = await this.#try(record, signal).finally(() => this.#endSending(owner));
    const mayRepeat = answer.type === 'failed' && record.spec.event !== progressEvent;
    const nextTryAtMs = mayRepeat ? nextWebhookTryAtMs(triesInRound + 1, clock.nowMs(), random()) : null;
    const notBeforeMs = answer.type === 'failed' ? (answer.notBeforeMs ?? 0) : 0;
    const attempt = toTry(answer, atMs);
    const tried = await store.append(id, {
      type: 'webhook_tried',
      run,
      attempt,
      replays,
      nextTryAtMs: nextTryAtMs === null ? null : Math.max(nextTryAtMs, notBeforeMs),
    });
    // Without an outcome the message was replayed meanwhile, or the record belongs to another run, which makes the store
    // ignore this event.
    const replayed: JobEvent = { type: 'parked', run, untilMs: clock.nowMs(), message: 'The message is sent again.' };
    return this.#outcome(requireKind(tried, 'webhook')) ?? replayed;
  }

  #endSending(owner: string | null): void {
    const left = (this.#sending.get(owner) ?? 1) - 1;
    if (left > 0) this.#sending.set(owner, left);
    else this.#sending.delete(owner);
  }

  /** A receiver that answers 410 is switched off until its owner switches it on, or replays a message that it accepts. */
  async #try(
    { id, owner, spec: { url, body }, replays = 0 }: JobRecord<'webhook'>,
    signal: AbortSignal,
  ): Promise<WebhookAnswer> {
    const { sender, receivers, clock } = this.#options;
    const receiver = { owner, url };
    const isOff = await receivers.isOff(receiver).catch(failStore);
    if (isOff && replays === 0) return { type: 'refused', status: null, reason: switchedOff };
    const answer = await sender.send({ id, url, body }, clock.nowMs(), signal);
    if (answer.type === 'refused' && !isOff) await receivers.switchOff(receiver, id, clock.nowMs()).catch(failStore);
    if (answer.type === 'delivered' && isOff) await receivers.switchOn(receiver).catch(failStore);
    return answer;
  }

  /** The event that follows from the tries so far; undefined when the next try is due. */
  #outcome({ tries, triesInRound, nextTryAtMs, runs: run }: JobRecord<'webhook'>): JobEvent | undefined {
    const atMs = this.#options.clock.nowMs();
    const last = tries.at(-1);
    if (last && triesInRound > 0) {
      if (last.reason === null)
        return { type: 'completed', run, atMs, result: { status: last.status ?? 0 }, warnings: [] };
      if (nextTryAtMs === null)
        return { type: 'failed', run, atMs, code: 'webhook_failed', message: last.reason, warnings: [] };
    }
    if (nextTryAtMs === null || nextTryAtMs <= atMs) return undefined;
    return { type: 'parked', run, untilMs: nextTryAtMs, message: `Waiting for the next try. ${last?.reason ?? ''}` };
  }
}

/** An older message about progress is not sent. */
const maxProgressAgeMs = 60_000;
const outOfDate = 'The progress was not sent: it was out of date, or other messages of the key were being sent.';

const minBusyPauseMs = 3_000;
const maxBusyPauseMs = 60_000;

/**
 * Pause before a message whose key is busy is checked again; up to twice as long, so that they come back one after the
 * other. It grows with the wait: thousands of messages to a receiver that hangs must not occupy the workers.
 */
function busyPauseOf({ createdAtMs }: JobRecord<'webhook'>, atMs: number): number {
  return Math.min(maxBusyPauseMs, Math.max(minBusyPauseMs, (atMs - createdAtMs) / 4));
}

const switchedOff =
  'The receiver is switched off because it answered 410 (gone). POST /webhooks/receivers/:id/switch-on switches it on, and so ' +
  'does a replay of a delivery that it accepts.';

function toTry(answer: WebhookAnswer, atMs: number): WebhookTry {
  return { atMs, status: answer.status, reason: answer.type === 'delivered' ? null : answer.reason };
}
