import { randomUUID } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { rm, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LipsyncApiError, LipsyncClientError, type BatchView, type Input, type LipsyncClient } from '@lipsync/client';
import { LipsyncError, toLipsyncError } from '../errors/index.ts';
import type { LocalJobInput } from '../service/local-jobs.ts';
import { OutputFiles } from '../service/output-file.ts';
import { isUrl } from '../service/parse-input.ts';
import type { BatchDisplay } from './batch-display.ts';
import type { BatchReport, BatchResult } from './batch-report.ts';
import type { RemoteBatchJournal } from './remote-batch-journal.ts';
import { download } from './service-commands.ts';

/** Shortest time between two looks at a batch whose jobs may end in quick succession. */
const lookIntervalMs = 2_000;
const maxDownloads = 4;
/** Running jobs that the table shows. */
const maxShown = 20;

/** An item: its inputs, where its output goes, and its fields as the API spells them. */
export interface RemoteItem extends Pick<LocalJobInput, 'videoPath' | 'audioPath' | 'outputPath'> {
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface RemoteBatchOptions {
  readonly client: LipsyncClient;
  readonly journal: RemoteBatchJournal;
  readonly display: BatchDisplay;
  readonly items: readonly RemoteItem[];
  /** Fields for all items. */
  readonly common: Readonly<Record<string, unknown>>;
  /** Limit of the cost of all items, over all runs. */
  readonly maxCostUsd: number | undefined;
  readonly overwrite: boolean;
  /** Whether the table shows the progress of single items. */
  readonly isLive: boolean;
}

type Job = BatchView['results'][number];

/**
 * Runs a batch at a service and downloads its outputs. The journal lets a later run of the same command continue: it
 * follows the batch that exists, and submits again only what has failed or was canceled.
 */
export class RemoteBatch {
  readonly #options: RemoteBatchOptions;
  readonly #results = new Map<number, BatchResult>();
  readonly #downloads = new Set<Promise<void>>();

  constructor(options: RemoteBatchOptions) {
    this.#options = options;
  }

  /**
   * Returns the report once every item has ended. Throws errors of the client, and the reason of `signal`; then the batch
   * continues at the service.
   */
  async run(signal: AbortSignal): Promise<BatchReport> {
    await this.#readComplete();
    await this.#requireFreeOutputs();
    const known = await this.#findBatch(signal);
    if (known && !hasEnded(known)) await this.#follow(known, signal);
    else {
      if (known) {
        await this.#follow(onlyCompleted(known), signal);
        this.#options.journal.addSpent(known.summary.total_cost_usd);
      }
      await this.#runMissing(signal);
    }
    const report = this.#report();
    if (report.summary.success === report.summary.total) await this.#options.journal.delete();
    return report;
  }

  /** Submits the items without an output as a batch. */
  async #runMissing(signal: AbortSignal): Promise<void> {
    const items = [...this.#options.items.keys()];
    const missing = items.filter((item) => this.#results.get(item)?.status !== 'completed');
    for (const item of missing) this.#results.delete(item);
    if (missing.length > 0) await this.#follow(await this.#send(missing, randomUUID(), signal), signal);
  }

  /** Items whose outputs earlier runs have downloaded, and which are still there. */
  async #readComplete(): Promise<void> {
    const { items, journal, display } = this.#options;
    for (const [item, { outputPath }] of items.entries()) {
      const result = journal.readComplete(item);
      if (!result) continue;
      const exists = await stat(outputPath).then(
        (stats) => stats.isFile(),
        () => false,
      );
      if (!exists) {
        journal.forget(item);
        continue;
      }
      const earlier = { ...result, from_earlier_run: true };
      this.#results.set(item, earlier);
      display.endItem(earlier);
    }
  }

  async #requireFreeOutputs(): Promise<void> {
    const { items, overwrite } = this.#options;
    const files = new OutputFiles();
    for (const [item, { outputPath }] of items.entries())
      if (!this.#results.has(item)) await files.requireFree(outputPath, overwrite);
  }

  /** The batch of an earlier run; undefined without one, or if it was deleted. */
  async #findBatch(signal: AbortSignal): Promise<BatchView | undefined> {
    const { client, journal } = this.#options;
    const { batch } = journal;
    if (!batch) return undefined;
    // The service may have accepted it although no response arrived; the key makes it answer with the same batch.
    if (batch.id === null) return this.#send(batch.items, batch.idempotencyKey, signal);
    try {
      return await client.batches.get(batch.id, { signal });
    } catch (error) {
      if (!(error instanceof LipsyncApiError) || error.code !== 'not_found') throw error;
      await journal.setBatch(null);
      return undefined;
    }
  }

  async #send(rows: readonly number[], idempotencyKey: string, signal: AbortSignal): Promise<BatchView> {
    const { client, journal, common } = this.#options;
    await journal.setBatch({ id: null, idempotencyKey, items: rows });
    try {
      const request = { ...common, ...this.#remainingCost(), items: await this.#toItems(rows) };
      const batch = await client.batches.create(request, { idempotencyKey, signal });
      await journal.setBatch({ id: batch.id, idempotencyKey, items: rows });
      return batch;
    } catch (error) {
      if (!(error instanceof LipsyncApiError) || error.retryable) throw error;
      await journal.setBatch(null);
      throw error.errors.length === 0 ? error : new RefusedItemsError(error, rows);
    }
  }

  #remainingCost(): { readonly max_cost_usd?: number } {
    const { journal, maxCostUsd } = this.#options;
    if (maxCostUsd === undefined) return {};
    return { max_cost_usd: Math.max(0, Math.round(1e6 * (maxCostUsd - journal.spentUsd)) / 1e6) };
  }

  async #toItems(rows: readonly number[]) {
    const files = new Map<string, Input>();
    const toInput = async (source: string): Promise<Input> => {
      if (isUrl(source)) return source;
      const known = files.get(source) ?? new File([await openAsBlob(source)], basename(source));
      files.set(source, known);
      return known;
    };
    const items = [];
    for (const row of rows) {
      const { videoPath, audioPath, outputPath, fields } = this.#item(row);
      const [video, audio] = [await toInput(videoPath), await toInput(audioPath)];
      items.push({ ...fields, video, audio, output_name: basename(outputPath) });
    }
    return items;
  }

  /** Shows the batch until it has ended and all its outputs are downloaded. */
  async #follow(batch: BatchView, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const stopped = new AbortController();
    const either = AbortSignal.any([signal, stopped.signal]);
    await this.#removePartialFiles(batch);
    let hasChanged = false;
    let failure: unknown;
    const onProgress = (): void => void (hasChanged = true);
    const watch = client.batches.waitFor(batch.id, { signal: either, onProgress }).catch((error: unknown) => {
      failure = error;
    });
    try {
      for (let current = batch; ;) {
        this.#endItems(current, either);
        if (hasEnded(current)) break;
        await delay(lookIntervalMs, undefined, { signal }).catch(() => signal.throwIfAborted());
        if (failure !== undefined) throw failure;
        const isDue: boolean = hasChanged;
        hasChanged = false;
        try {
          if (isDue) current = await client.batches.get(batch.id, { signal });
          else await this.#showRunning(current, signal);
        } catch (error) {
          // The watch limits the time without the service.
          if (!(error instanceof LipsyncClientError) || !error.retryable) throw error;
          hasChanged ||= isDue;
        }
      }
      await Promise.all(this.#downloads);
      signal.throwIfAborted();
    } finally {
      stopped.abort();
      await Promise.all([watch, ...this.#downloads]);
    }
  }

  /** A killed process may have left parts of outputs. */
  async #removePartialFiles({ id }: BatchView): Promise<void> {
    const folder = join(this.#item(0).outputPath, '..');
    const names = await readdir(folder).catch(() => []);
    const parts = names.filter((name) => name.startsWith(`.${id}-`) && name.endsWith('.part'));
    await Promise.all(parts.map((name) => rm(join(folder, name), { force: true })));
  }

  async #showRunning({ id, results }: BatchView, signal: AbortSignal): Promise<void> {
    const { client, display, isLive } = this.#options;
    if (!isLive) return;
    const items = new Map(results.map((job) => [job.id, this.#rowOf(job)]));
    const { jobs } = await client.list({ batch: id, status: 'processing', limit: maxShown }, { signal });
    for (const job of jobs) {
      const item = items.get(job.id);
      if (item !== undefined && !this.#results.has(item)) display.show(item, job);
    }
  }

  /** Starts the downloads of completed items, and records the items that have ended without an output. */
  #endItems({ results }: BatchView, signal: AbortSignal): void {
    for (const job of results) {
      const item = this.#rowOf(job);
      if (this.#results.has(item) || job.status === 'queued' || job.status === 'processing') continue;
      const result = toResult(item, job);
      this.#results.set(item, result);
      if (job.status === 'completed') this.#startDownload(item, result, signal);
      else this.#options.display.endItem(result);
    }
  }

  #startDownload(item: number, result: BatchResult, signal: AbortSignal): void {
    const running = [...this.#downloads];
    const before = running.length < maxDownloads ? undefined : running[running.length - maxDownloads];
    const work = (before ?? Promise.resolve())
      .then(() => this.#download(item, result, signal))
      .finally(() => this.#downloads.delete(work));
    this.#downloads.add(work);
  }

  /** A failed download fails its item only; the next run of the command repeats it. */
  async #download(item: number, result: BatchResult, signal: AbortSignal): Promise<void> {
    const { client, display, journal, overwrite } = this.#options;
    const { outputPath: path } = this.#item(item);
    if (signal.aborted) return;
    try {
      await download(client, result.job_id ?? '', { path, overwrite, signal });
      const complete = { ...result, output_path: path };
      this.#results.set(item, complete);
      await journal.setComplete(complete);
      display.endItem(complete);
    } catch (error) {
      if (signal.aborted) return;
      const failed = { ...result, status: 'failed', error: toProblem(error) } as const;
      this.#results.set(item, failed);
      display.endItem(failed);
    }
  }

  #report(): BatchReport {
    const results = [...this.#results.values()].toSorted((one, other) => one.item - other.item);
    const count = (status: BatchResult['status']): number => results.filter((one) => one.status === status).length;
    const sum = (of: (result: BatchResult) => number | null): number =>
      results.reduce((total, result) => total + (of(result) ?? 0), 0);
    return {
      batchId: this.#options.journal.batch?.id ?? null,
      summary: {
        total: this.#options.items.length,
        success: count('completed'),
        failed: count('failed'),
        canceled: count('canceled'),
        total_duration: Math.round(1e3 * sum(({ duration }) => duration)) / 1e3,
        total_cost_usd: Math.round(1e6 * sum(({ cost_usd: cost }) => cost)) / 1e6,
      },
      results,
    };
  }

  #rowOf({ item }: Job): number {
    const row = this.#options.journal.batch?.items[item];
    if (row === undefined) throw new LipsyncError('internal', `The batch has no item ${item}.`);
    return row;
  }

  #item(row: number): RemoteItem {
    const item = this.#options.items[row];
    if (!item) throw new LipsyncError('internal', `The manifest has no row ${row}.`);
    return item;
  }
}

/** The service refused the batch; the problems name rows of the manifest. */
export class RefusedItemsError extends Error {
  readonly refusal: LipsyncApiError;
  readonly rows: readonly number[];

  constructor(refusal: LipsyncApiError, rows: readonly number[]) {
    super(refusal.message, { cause: refusal });
    this.name = 'RefusedItemsError';
    this.refusal = refusal;
    this.rows = rows;
  }
}

function hasEnded({ status }: BatchView): boolean {
  return status === 'completed' || status === 'canceled';
}

function onlyCompleted(batch: BatchView): BatchView {
  return { ...batch, results: batch.results.filter(({ status }) => status === 'completed') };
}

function toResult(item: number, job: Job): BatchResult {
  const { id, status, output_name, method_used, degraded, duration, cost_usd, quality, error } = job;
  if (status === 'queued' || status === 'processing')
    throw new LipsyncError('internal', `The job ${id} has not ended.`);
  return {
    item,
    job_id: id,
    output_name,
    status,
    output_path: null,
    method_used,
    degraded,
    duration,
    cost_usd,
    quality,
    error,
    from_earlier_run: false,
  };
}

function toProblem(thrown: unknown): NonNullable<BatchResult['error']> {
  if (thrown instanceof LipsyncClientError) {
    const { code, message, retryable } = thrown;
    return { code, message, retryable };
  }
  const { code, message, policy } = toLipsyncError(thrown);
  return { code, message, retryable: policy.retryable };
}
