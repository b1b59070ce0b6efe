import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { usdToMicros } from '../billing/micros.ts';
import type { JobStatus } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import { abortError, toLipsyncError, type LipsyncError } from '../errors/index.ts';
import type { BatchSummary } from '../jobs/batch-summary.ts';
import { outcomeOf, summarizeBatch } from '../jobs/batch-view.ts';
import type { JobRecord } from '../jobs/job-record.ts';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import type { StateStore } from '../storage/state-store.ts';
import { BatchJournal, type ItemEntry, type ItemResult, type OpenJournal } from './batch-journal.ts';
import type { LocalJobInput, LocalJobs } from './local-jobs.ts';
import type { OutputFiles } from './output-file.ts';

/** Items of a batch that may run at the same time. */
export const maxConcurrency = 16;

/** An item of a batch that has ended, or was not started because the batch was canceled. */
export interface BatchItemOutcome {
  readonly item: number;
  readonly status: Extract<JobStatus, 'completed' | 'failed' | 'canceled'>;
  readonly outputPath: string;
  /** Null unless completed. */
  readonly result: ItemResult | null;
  /** Null if completed. */
  readonly error: LipsyncError | null;
  /** Of all its jobs, also of earlier runs of the batch. */
  readonly costMicros: number;
  /** An earlier run of the batch has completed it. */
  readonly isFromEarlierRun: boolean;
}

export interface BatchContext {
  readonly signal: AbortSignal;
  /** Items that run at the same time. */
  readonly concurrency: number;
  /** Limit on the cost of all items together, also of earlier runs of the batch, in USD. */
  readonly maxCostUsd?: number | undefined;
  onProgress?(item: number, update: ProgressUpdate): void;
  onItemEnd?(outcome: BatchItemOutcome): void;
}

export interface BatchOutcome {
  readonly items: readonly BatchItemOutcome[];
  readonly summary: BatchSummary;
}

export interface LocalBatchesOptions {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly localJobs: Pick<LocalJobs, 'run' | 'find'>;
  readonly outputFiles: Pick<OutputFiles, 'requireFree'>;
}

/**
 * Runs batches inside this process, each item as a job of its own. A batch that is started again, after a crash or
 * because items failed, runs only the items that are not complete.
 */
export class LocalBatches {
  readonly #options: LocalBatchesOptions;
  readonly #journal: BatchJournal;

  constructor(options: LocalBatchesOptions) {
    this.#options = options;
    this.#journal = new BatchJournal(options);
  }

  /**
   * Runs all items and isolates them: a failed one is an outcome. `checkOutputs` lists the outputs that exist and may not
   * be replaced before anything runs. Throws `conflict` while another process runs the same batch.
   */
  async run(
    inputs: readonly LocalJobInput[],
    checkOutputs: (problems: readonly OutputProblem[]) => void,
    context: BatchContext,
  ): Promise<BatchOutcome> {
    const journal = await this.#journal.open(inputs);
    let isComplete = false;
    try {
      checkOutputs(await this.#findOutputProblems(inputs, journal));
      const items = await this.#runItems(inputs, journal, context);
      isComplete = items.every(({ status }) => status === 'completed');
      const outcomes = items.map(({ status, result, costMicros }) => ({
        status,
        durationMs: result?.durationMs ?? 0,
        costMicros,
      }));
      return { items, summary: summarizeBatch({ spec: { itemCount: inputs.length } }, outcomes) };
    } finally {
      await journal.close(isComplete);
    }
  }

  async #findOutputProblems(inputs: readonly LocalJobInput[], journal: OpenJournal): Promise<readonly OutputProblem[]> {
    const found = await Promise.all(
      inputs.map(async ({ outputPath, overwrite }, item) => {
        if (isStarted(journal.read(item))) return undefined;
        const check = this.#options.outputFiles.requireFree(outputPath, overwrite);
        return check.then(
          () => undefined,
          (error: unknown) => ({ item, error: toLipsyncError(error) }),
        );
      }),
    );
    return found.filter((problem) => problem !== undefined);
  }

  async #runItems(
    inputs: readonly LocalJobInput[],
    journal: OpenJournal,
    context: BatchContext,
  ): Promise<readonly BatchItemOutcome[]> {
    const outcomes: BatchItemOutcome[] = [];
    const waiting = inputs.entries();
    const runNext = async (): Promise<void> => {
      for (const [item, input] of waiting) {
        const outcome = await this.#runItem({ item, input, journal }, context);
        outcomes[item] = outcome;
        context.onItemEnd?.(outcome);
      }
    };
    await Promise.all(Array.from({ length: context.concurrency }, runNext));
    return outcomes;
  }

  async #runItem(
    { item, input, journal }: RunningItem,
    { signal, onProgress, maxCostUsd }: BatchContext,
  ): Promise<BatchItemOutcome> {
    const { outputPath } = input;
    const outcomeWith = (ended: Pick<BatchItemOutcome, 'status'> & Partial<BatchItemOutcome>): BatchItemOutcome => ({
      item,
      outputPath,
      result: null,
      error: null,
      isFromEarlierRun: false,
      ...ended,
      costMicros: Object.values(journal.read(item).costs).reduce((sum, costMicros) => sum + costMicros, 0),
    });
    try {
      const result = await this.#findResult({ item, input, journal });
      if (result) return outcomeWith({ status: 'completed', result, isFromEarlierRun: true });
      if (signal.aborted) return outcomeWith({ status: 'canceled', error: abortError(signal) });
      // The path was free when an earlier run of the batch started the item: what is there now is its output.
      const overwrite = input.overwrite || isStarted(journal.read(item));
      const { record, error } = await this.#options.localJobs.run(
        { ...input, overwrite },
        {
          signal,
          batch:
            maxCostUsd === undefined
              ? undefined
              : { id: journal.budgetId, item, outputName: basename(outputPath), capMicros: usdToMicros(maxCostUsd) },
          onProgress: (update) => onProgress?.(item, update),
          onClaimed: (jobId) => journal.write(item, { ...journal.read(item), jobId }),
          onEnded: (ended) => journal.write(item, withOutcome(journal.read(item), ended)),
        },
      );
      if (!error) return outcomeWith({ status: 'completed', result: toResult(record) });
      return outcomeWith({ status: record.status === 'canceled' ? 'canceled' : 'failed', error });
    } catch (thrown) {
      const error = signal.aborted ? abortError(signal) : toLipsyncError(thrown);
      return outcomeWith({ status: error.code === 'canceled' ? 'canceled' : 'failed', error });
    }
  }

  /** The result of an item that is complete: as stored, or of its job whose process was killed before it was stored. */
  async #findResult({ item, input, journal }: RunningItem): Promise<ItemResult | null> {
    const entry = journal.read(item);
    if (!isStarted(entry) || !(await isFile(input.outputPath))) return null;
    if (entry.result) return entry.result;
    const record = await this.#options.localJobs.find(entry.jobId);
    if (record?.status !== 'completed') return null;
    const ended = withOutcome(entry, record);
    await journal.write(item, ended);
    return ended.result;
  }
}

/** An output that cannot be written. */
export interface OutputProblem {
  readonly item: number;
  readonly error: LipsyncError;
}

interface RunningItem {
  readonly item: number;
  readonly input: LocalJobInput;
  readonly journal: OpenJournal;
}

function isStarted(entry: ItemEntry): entry is ItemEntry & { readonly jobId: string } {
  return entry.jobId !== null;
}

function withOutcome(entry: ItemEntry, record: JobRecord<'lipsync'>): ItemEntry {
  return {
    jobId: record.id,
    costs: { ...entry.costs, [record.id]: outcomeOf(record).costMicros },
    result: toResult(record),
  };
}

function toResult({ result, warnings }: JobRecord<'lipsync'>): ItemResult | null {
  if (!result) return null;
  const { methodUsed, degraded, durationMs, quality = null } = result;
  return { methodUsed, degraded, durationMs, quality, warnings };
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true;
}
