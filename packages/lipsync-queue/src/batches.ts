import {
  batchItemId,
  isBatchSettled,
  isOfKind,
  isTerminal,
  LipsyncError,
  listPages,
  newBatchItemRecord,
  newBatchRecord,
  requireKind,
  summarizeBatch,
  toBatchSummaryView,
  type BatchContent,
  type BatchItem,
  type BatchOptions,
  type Clock,
  type IdSource,
  type JobRecord,
  type JobStore,
  type Logger,
  type OutboxEntry,
  type TraceContext,
} from '@lipsync/core/host';
import type { BatchSummaryView, LipsyncOptions } from '@lipsync/core/contract';
import { collectFailure, inChunks } from './collect-failures.ts';
import type { RequestClaim } from './idempotency-keys.ts';
import type { LipsyncProducer } from './lipsync-producer.ts';
import { acceptRecord, cancelJob, type Accepted } from './queued-jobs.ts';

/** A validated request for a batch. */
export interface BatchSubmission extends TraceContext {
  readonly owner: string | null;
  readonly items: readonly BatchItem[];
  readonly options: BatchOptions;
}

export interface BatchesOptions {
  readonly store: JobStore;
  readonly producer: Pick<LipsyncProducer, 'submit' | 'submitOnce' | 'requeue' | 'remove' | 'wake'>;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly logger: Logger;
  /** Time until a job of a batch is expected to end; undefined while that is unknown. */
  expectedMs?(options: LipsyncOptions, jobsAhead: number): Promise<number | undefined>;
  /** Throws when Redis belongs to another installation; called before a batch is stored. */
  verifyRedis(): Promise<void>;
}

/** Batches that a sweep reads at once; a record may have some megabytes. */
const pageSize = 10;
/** A sweep ignores younger batches: their jobs may be on their way into the queue. */
const sweepAfterMs = 5_000;

/**
 * Batches of lip-sync jobs. The record of a batch is stored before its jobs are queued, and every step may run twice, in
 * several processes: `sweep` finishes what a killed process began. Every call throws `resource_exhausted` without Redis.
 */
export class Batches {
  readonly #options: BatchesOptions;

  constructor(options: BatchesOptions) {
    this.#options = options;
  }

  /** Stores a batch and queues its jobs, or returns the batch that an equal request created, as `QueuedJobs.submit`. */
  async submit({ items, options, ...sender }: BatchSubmission, claim?: RequestClaim): Promise<Accepted> {
    const { clock, ids, logger, producer, store, verifyRedis } = this.#options;
    await verifyRedis();
    const record = newBatchRecord({
      ...sender,
      id: ids.jobId().replace(/^job/, 'batch'),
      nowMs: clock.nowMs(),
      options,
      items,
    });
    const accepted = await acceptRecord({ producer, store }, record, claim);
    if (accepted.isRepeated) return accepted;
    await this.#queueItems(record).catch((error: unknown) =>
      logger.warn({ batchId: record.id, error }, 'batch stored but not queued completely; the next sweep queues it'),
    );
    return accepted;
  }

  /** Reads the jobs of a batch, or those of `count` items from the item `start`, and the outcomes of all. */
  async readContent(
    { id, spec }: JobRecord<'batch'>,
    { start = 0, count = spec.itemCount }: { readonly start?: number; readonly count?: number } = {},
  ): Promise<BatchContent> {
    const { store } = this.#options;
    const end = Math.min(start + count, spec.itemCount);
    const records = await inChunks(Math.max(0, end - start), (item) => store.get(batchItemId(id, start + item)));
    const jobs = records.filter((record) => record !== undefined).filter((record) => isOfKind(record, 'lipsync'));
    return { jobs, outcomes: [...(await store.listOutcomes(id)).values()] };
  }

  /** A batch as callers of the API see it, without its jobs. */
  async summarize(batch: JobRecord<'batch'>): Promise<BatchSummaryView> {
    return toBatchSummaryView(batch, [...(await this.#options.store.listOutcomes(batch.id)).values()]);
  }

  /** Cancels every job of a batch that has not ended. Returns the batch afterwards. */
  async cancel(id: string): Promise<JobRecord<'batch'>> {
    const batch = requireKind(await this.#options.store.append(id, { type: 'cancel_requested' }), 'batch');
    await this.#cancelItems(batch);
    return this.settle(batch);
  }

  /** Holds the jobs of a batch that have not started, or releases them. Returns the batch afterwards. */
  async setPaused(id: string, isPaused: boolean): Promise<JobRecord<'batch'>> {
    const { store } = this.#options;
    const event = { type: isPaused ? 'batch_paused' : 'batch_resumed' } as const;
    const batch = requireKind(await store.append(id, event), 'batch');
    // Workers take held jobs out of the queues; the sweep of the jobs queues those that a killed process left out.
    if (!isPaused) await inChunks(batch.spec.itemCount, (item) => this.#requeueItem(batchItemId(id, item)));
    return batch;
  }

  async #requeueItem(jobId: string): Promise<void> {
    const { store, producer } = this.#options;
    const job = await store.get(jobId);
    if (job?.status === 'queued') await producer.requeue(job);
  }

  /** Ends the batch of a job that has ended, if it was the last one. Does nothing after the end of a single job. */
  async settleAfter({ batchId }: Pick<OutboxEntry, 'batchId'>): Promise<void> {
    const batch = batchId === undefined ? undefined : await this.#options.store.get(batchId);
    if (batch) await this.settle(requireKind(batch, 'batch'));
  }

  /** Ends a batch whose jobs have all ended: exactly once, however many processes try. Returns the batch afterwards. */
  async settle(batch: JobRecord<'batch'>): Promise<JobRecord<'batch'>> {
    const { clock, store } = this.#options;
    const { id } = batch;
    if (isTerminal(batch.status)) return batch;
    const result = summarizeBatch(batch, [...(await store.listOutcomes(id)).values()]);
    if (!isBatchSettled(result)) return batch;
    const atMs = clock.nowMs();
    const ended = await store.append(
      id,
      batch.cancelRequested && result.canceled > 0
        ? { type: 'canceled', atMs }
        : { type: 'completed', run: batch.runs, atMs, result, warnings: [] },
    );
    return requireKind(ended, 'batch');
  }

  /**
   * Queues the missing jobs of batches, repeats cancels that a killed process left unfinished, and ends batches. Returns
   * the number of ended ones. A batch that fails does not stop the others; its error is thrown at the end.
   */
  async sweep(): Promise<number> {
    let ended = 0;
    const failures: unknown[] = [];
    for (const status of ['queued', 'processing'] as const) {
      for await (const { records } of listPages(this.#options.store, { kind: 'batch', status, limit: pageSize }))
        for (const batch of records) {
          const hasEnded = await this.#sweepBatch(batch).catch((error: unknown) => collectFailure(failures, error));
          if (hasEnded) ended += 1;
        }
    }
    if (failures.length > 0) throw failures[0];
    return ended;
  }

  async #sweepBatch(batch: JobRecord<'batch'>): Promise<boolean> {
    if (batch.createdAtMs > this.#options.clock.nowMs() - sweepAfterMs) return false;
    const queued = batch.status === 'queued' ? await this.#queueItems(batch) : batch;
    if (queued.cancelRequested && batch.status === 'processing') await this.#cancelItems(queued);
    return isTerminal((await this.settle(queued)).status);
  }

  /** Queues the jobs that do not exist, then marks the batch as queued completely by starting it. */
  async #queueItems(batch: JobRecord<'batch'>): Promise<JobRecord<'batch'>> {
    const { clock, store } = this.#options;
    await inChunks(batch.spec.items.length, (item) => this.#queueItem(batch, item));
    const started = requireKind(await store.append(batch.id, { type: 'run_started', atMs: clock.nowMs() }), 'batch');
    // The cancel may have missed jobs that were queued after it.
    if (started.cancelRequested && !isTerminal(started.status)) await this.#cancelItems(started);
    return started;
  }

  async #queueItem(batch: JobRecord<'batch'>, item: number): Promise<void> {
    const { clock, producer, store } = this.#options;
    const created = newBatchItemRecord(batch, item);
    const expectedMs = await this.#options.expectedMs?.(created.spec.options, item);
    const record = {
      ...created,
      ...(expectedMs !== undefined && { expectedCompletionAtMs: clock.nowMs() + expectedMs }),
    };
    if (await store.get(record.id)) return;
    // Read after the record: a job that was deleted meanwhile has an outcome.
    if ((await store.listOutcomes(batch.id)).has(record.id)) return;
    await producer.submit(record).catch(async (error: unknown) => {
      // Another process was faster.
      if (!(await store.get(record.id))) throw error;
    });
  }

  async #cancelItems({ id, spec }: JobRecord<'batch'>): Promise<void> {
    await inChunks(spec.itemCount, async (item) => {
      await cancelJob(this.#options, batchItemId(id, item)).catch((error: unknown) => {
        if (!(LipsyncError.isInstance(error) && error.code === 'not_found')) throw error;
      });
    });
  }
}
