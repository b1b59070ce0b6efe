import type { Clock } from '../contract/ports.ts';
import type { JobEvent } from './job-events.ts';
import type { JobHandler, JobRun } from './job-handler.ts';
import { requireKind, type JobRecord } from './job-record.ts';
import type { ReceiverSwitches } from './receiver-switches.ts';
import { nextWebhookTryAtMs, type WebhookAnswer, type WebhookSender, type WebhookTry } from './webhook-delivery.ts';

export interface WebhookHandlerOptions {
  readonly sender: Pick<WebhookSender, 'send'>;
  readonly receivers: Pick<ReceiverSwitches, 'isOff' | 'set'>;
  readonly clock: Clock;
  /** From 0 to 1; spreads the tries of messages that failed together. */
  random?(): number;
}

/**
 * Delivers messages: one try per run, then the job waits until the next. A try is stored before the job ends or waits,
 * so that a killed worker repeats at most the try that it was making.
 */
export class WebhookHandler implements JobHandler<'webhook'> {
  readonly #options: Required<WebhookHandlerOptions>;

  constructor(options: WebhookHandlerOptions) {
    this.#options = { random: Math.random, ...options };
  }

  async run({ record, store, signal }: JobRun<'webhook'>): Promise<JobEvent> {
    const { clock, random } = this.#options;
    const known = this.#outcome(record);
    if (known) return known;
    const { id, runs: run, triesInRound } = record;
    const atMs = clock.nowMs();
    const answer = await this.#try(record, signal);
    const nextTryAtMs = answer.type === 'failed' ? nextWebhookTryAtMs(triesInRound + 1, clock.nowMs(), random()) : null;
    const notBeforeMs = answer.type === 'failed' ? (answer.notBeforeMs ?? 0) : 0;
    const attempt = toTry(answer, atMs);
    const tried = await store.append(id, {
      type: 'webhook_tried',
      run,
      attempt,
      nextTryAtMs: nextTryAtMs === null ? null : Math.max(nextTryAtMs, notBeforeMs),
    });
    // Without an outcome the record belongs to another run, which makes the store ignore this event.
    return this.#outcome(requireKind(tried, 'webhook')) ?? { type: 'released', run };
  }

  /** A receiver that answers 410 is switched off until it accepts a message that its owner replays. */
  async #try(
    { id, owner, spec: { url, body }, isReplay }: JobRecord<'webhook'>,
    signal: AbortSignal,
  ): Promise<WebhookAnswer> {
    const { sender, receivers, clock } = this.#options;
    const receiver = { owner, url };
    const isOff = await receivers.isOff(receiver);
    if (isOff && !isReplay) return { type: 'refused', status: null, reason: switchedOff };
    const answer = await sender.send({ id, url, body }, clock.nowMs(), signal);
    if (answer.type === 'refused' && !isOff) await receivers.set(receiver, 'off');
    if (answer.type === 'delivered' && isOff) await receivers.set(receiver, 'on');
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

const switchedOff =
  'The receiver is switched off because it answered 410 (gone). A replay of a delivery that it accepts switches it on.';

function toTry(answer: WebhookAnswer, atMs: number): WebhookTry {
  return { atMs, status: answer.status, reason: answer.type === 'delivered' ? null : answer.reason };
}
