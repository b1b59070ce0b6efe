import {
  isTerminal,
  isUnderWay,
  type Clock,
  type JobRecord,
  type JobStore,
  type Load,
  type Logger,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import type { RequestClaim } from './idempotency-keys.ts';
import { laneOf, type Lane } from './job-catalog.ts';
import { sweepJobs, type SweptJobs } from './job-sweep.ts';
import { isHeldByPause } from './paused-batches.ts';
import { QueueEntries, type LipsyncQueueHandle, type WaitingSample } from './queue-entries.ts';
import type { RedisJobStore } from './redis-job-store.ts';
import { RedisConcurrencySlots } from './redis-concurrency-slots.ts';

export interface LipsyncProducerOptions {
  /** Made by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly store: JobStore & Pick<RedisJobStore, 'createOnce' | 'listOverdue' | 'forgetDeadlines' | 'listUnfinished'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `sweep` ignores jobs younger than this: they may be on their way into the queue. */
  readonly requeueAfterMs?: number;
}

const defaultRequeueAfterMs = 5_000;

/** Puts jobs into the queues, wakes them and removes them. Every call throws `resource_exhausted` without Redis. */
export class LipsyncProducer {
  readonly #options: Required<LipsyncProducerOptions>;
  readonly #entries: QueueEntries;
  readonly #slots: RedisConcurrencySlots;
  /** Running calls of `wakeWaiting`. */
  readonly #wakes = new Set<Promise<unknown>>();

  constructor(options: LipsyncProducerOptions) {
    this.#options = { requeueAfterMs: defaultRequeueAfterMs, ...options };
    this.#entries = new QueueEntries(options);
    this.#slots = new RedisConcurrencySlots(options);
  }

  /**
   * Stores the record, then queues the job. Once the record is stored the job is accepted: if queuing fails after that,
   * `sweep` queues it. Throws `resource_exhausted` when the record could not be stored.
   */
  async submit(record: JobRecord, lane: Lane = laneOf(record)): Promise<void> {
    await this.#options.store.create(record);
    await this.#enqueue(record, lane);
  }

  /** As `submit`, unless an equal request has created a job: as `RedisJobStore.createOnce`. */
  async submitOnce(record: JobRecord, claim: RequestClaim): Promise<string | undefined> {
    const repeated = await this.#options.store.createOnce(record, claim);
    if (repeated === undefined) await this.#enqueue(record, laneOf(record));
    return repeated;
  }

  /** Queues a job that had ended. If that fails, `sweep` queues it. */
  requeue(record: JobRecord): Promise<void> {
    return this.#logFailure(record, this.#entries.replaceEnded(record, laneOf(record)));
  }

  #enqueue(record: JobRecord, lane: Lane): Promise<void> {
    return this.#logFailure(record, this.#entries.add(record, lane));
  }

  /** A job whose record is stored is accepted, whether or not it could be queued. */
  async #logFailure(record: JobRecord, queued: Promise<void>): Promise<void> {
    const { logger } = this.#options;
    await queued.catch((error: unknown) => {
      logger.warn({ jobId: record.id, error }, 'job stored but not queued; the next sweep queues it');
    });
  }

  /** Queues a job in the lane that it needs next, after the worker of another lane has done its part. */
  transfer(record: JobRecord): Promise<void> {
    return guardRedis(() => this.#entries.replaceEnded(record, laneOf(record)));
  }

  /** Returns whether a job must not start because its batch is paused; then its entry may end. */
  isHeld(jobId: string): Promise<boolean> {
    return isHeldByPause(this.#options.store, jobId);
  }

  /** Makes a delayed job runnable now; does nothing for a job that is not delayed. */
  wake(jobId: string): Promise<void> {
    return guardRedis(async () => void (await this.#entries.wake(jobId)));
  }

  /**
   * Wakes a job that missed its wake-up because it was not delayed yet: it was canceled or replayed, or a released slot
   * took it from the waiting set, or the equal job that it waits for ended, while it was being parked.
   */
  wakeIfMissed(jobId: string): Promise<void> {
    return guardRedis(async () => {
      const record = await this.#options.store.get(jobId);
      if (!record) return;
      if (record.parkedUntilMs === null && !record.cancelRequested) return;
      if (record.cancelRequested || !(await this.#stillWaits(record))) await this.#entries.wake(jobId);
    });
  }

  /** Whether what a parked job waits for has not happened yet. */
  async #stillWaits(record: JobRecord): Promise<boolean> {
    const { id, needs, waitsForStorage, waitsForProbe, waitsForResult } = record;
    // A replay makes a waiting delivery due at once.
    if (record.kind === 'webhook') return (record.nextTryAtMs ?? 0) >= (record.parkedUntilMs ?? 0);
    if (waitsForResult !== undefined) {
      const other = await this.#options.store.get(waitsForResult);
      return other !== undefined && !isTerminal(other.status);
    }
    const waitsForSlot = !isUnderWay(record) && needs === 'remote' && !waitsForStorage && !waitsForProbe;
    return !waitsForSlot || this.#slots.isWaiting(id);
  }

  /**
   * Wakes `jobId`, which a released slot took from the waiting set of `provider`. If the job is not delayed, because it
   * has ended or was woken otherwise, the next waiting job is woken instead. Returns the id of the job that was woken.
   */
  async wakeWaiting(provider: string, jobId: string): Promise<string | null> {
    const wake = guardRedis(() => this.#wakeFirst(provider, jobId));
    this.#wakes.add(wake);
    try {
      return await wake;
    } finally {
      this.#wakes.delete(wake);
    }
  }

  /**
   * Queues unfinished jobs that no queue holds, and fails jobs that still wait at their deadline. With very many jobs,
   * a call continues where the last one of any process stopped. Safe to run in several processes and beside workers;
   * only one process does it at a time.
   */
  sweep(): Promise<SweptJobs> {
    return guardRedis(() => sweepJobs({ ...this.#options, entries: this.#entries }));
  }

  /** Removes a job from the queues; false, with nothing removed, when a worker holds it. */
  remove(jobId: string): Promise<boolean> {
    return guardRedis(() => this.#entries.remove(jobId));
  }

  /** Lets up to `count` other render workers take segments of a job, as soon as they have nothing else to do. */
  offerSegments(jobId: string, count: number): Promise<void> {
    return guardRedis(async () => {
      const record = await this.#options.store.get(jobId);
      if (record?.kind === 'lipsync' && !isTerminal(record.status)) await this.#entries.offerSegments(record, count);
    });
  }

  /** Returns whether a job waits for a render worker with this BullMQ priority, or a more urgent one. */
  hasWaitingRender(priority: number): Promise<boolean> {
    return guardRedis(() => this.#entries.hasWaitingRender(priority));
  }

  /** The work of the render lane. */
  load(): Promise<Load> {
    return guardRedis(() => this.#entries.load());
  }

  /** Jobs of a lane that a worker could take now; a sample if there are more than `limit`. */
  sampleWaiting(lane: Lane, limit: number): Promise<WaitingSample> {
    return guardRedis(() => this.#entries.sampleWaiting(lane, limit));
  }

  /** The BullMQ queue of a lane, for a queue dashboard. Connects with its first command. */
  queue(lane: Lane): Promise<LipsyncQueueHandle> {
    return guardRedis(() => this.#entries.queue(lane));
  }

  /** Waits for running wake-ups: a job that was taken from the waiting set would otherwise wait for its poll. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#wakes);
    await this.#entries.close();
  }

  async #wakeFirst(provider: string, jobId: string): Promise<string | null> {
    let next: string | null = jobId;
    while (next !== null && !(await this.#entries.wake(next))) next = await this.#slots.takeNextWaiting(provider);
    return next;
  }
}
