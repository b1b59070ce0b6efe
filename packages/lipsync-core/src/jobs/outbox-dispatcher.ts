import { setTimeout as delay } from 'node:timers/promises';
import type { Clock, Logger } from '../contract/ports.ts';
import { UnreadableRecordError } from '../errors/index.ts';
import { untilAborted } from '../net/guarded-client.ts';
import type { JobStore, OutboxEntry } from './job-store.ts';

/**
 * Acts on the end of a job. Must be idempotent: an entry is delivered again until every consumer succeeded, and
 * several processes may deliver it at once. Work that takes more than a few seconds belongs in a job of its own.
 */
export type OutboxConsumer = (entry: OutboxEntry, signal: AbortSignal) => Promise<void>;

export interface OutboxDispatcherOptions {
  readonly store: Pick<JobStore, 'readOutbox' | 'ackOutbox'>;
  readonly consumers: readonly OutboxConsumer[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs?: number;
  /** Time limit of one consumer for one entry. */
  readonly consumerLimitMs?: number;
}

interface Failure {
  readonly failures: number;
  readonly retryAtMs: number;
}

const pageSize = 100;
const maxRetryDelayMs = 60_000;

/**
 * Delivers the entries of the outbox to all consumers, at least once, oldest first. An entry is acknowledged when every
 * consumer succeeded. An entry that fails is retried after 1 s, 2 s, 4 s and so on up to 60 s, and does not delay
 * the others.
 */
export class OutboxDispatcher {
  readonly #options: Required<OutboxDispatcherOptions>;
  /** By entry id. Only this process delays the retry, so a restart delivers at once. */
  #failures: ReadonlyMap<string, Failure> = new Map();

  constructor(options: OutboxDispatcherOptions) {
    this.#options = { intervalMs: 1_000, consumerLimitMs: 10_000, ...options };
  }

  /** Delivers now and every `intervalMs` until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, logger } = this.#options;
    let isFailing = false;
    while (!signal.aborted) {
      try {
        await this.deliver(signal);
        isFailing = false;
      } catch (error) {
        if (!isFailing) logger.warn({ error }, 'outbox not readable; it is read again every second');
        isFailing = true;
      }
      await delay(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Delivers all entries that are due. Throws what the store throws. */
  async deliver(signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const failures = new Map<string, Failure>();
    let after: string | undefined;
    do {
      const entries = await store.readOutbox(pageSize, after);
      const delivered: string[] = [];
      for (const entry of entries) {
        if (signal.aborted) break;
        const failure = await this.#deliverEntry(entry, signal);
        if (failure) failures.set(entry.id, failure);
        else delivered.push(entry.id);
      }
      await store.ackOutbox(delivered);
      after = entries.length < pageSize ? undefined : entries.at(-1)?.id;
    } while (after !== undefined && !signal.aborted);
    this.#failures = failures;
  }

  /** Returns the failure of an entry that has to be delivered again, undefined when all consumers succeeded. */
  async #deliverEntry(entry: OutboxEntry, signal: AbortSignal): Promise<Failure | undefined> {
    const { consumers, clock, logger } = this.#options;
    const earlier = this.#failures.get(entry.id);
    if (earlier && clock.nowMs() < earlier.retryAtMs) return earlier;
    const errors: unknown[] = [];
    for (const consume of consumers) {
      await this.#consume(consume, entry, signal).catch((error: unknown) => errors.push(error));
    }
    if (errors.length === 0) return undefined;
    const failures = (earlier?.failures ?? 0) + 1;
    const delayMs = Math.min(1_000 * 2 ** (failures - 1), maxRetryDelayMs);
    // A worker of the later version that stored the job delivers its end.
    const isLeft = errors.every((error) => error instanceof UnreadableRecordError && error.isNewer);
    if (!signal.aborted && !isLeft) {
      const { jobId, status } = entry;
      logger.warn({ jobId, status, failures, error: errors[0] }, 'end of a job not delivered; it is delivered again');
    }
    return { failures, retryAtMs: clock.nowMs() + delayMs };
  }

  /** Throws when the consumer fails, exceeds its time limit or the signal aborts. */
  async #consume(consume: OutboxConsumer, entry: OutboxEntry, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#options.consumerLimitMs)]);
    await untilAborted(consume(entry, limit), limit);
  }
}
