import { z } from 'zod';
import type { LipsyncOptions, LipsyncOptionsInput, ProviderId, Quality } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { microsToUsd, microsToUsdOrNull } from '../billing/micros.ts';
import { costOf } from '../jobs/job-view.ts';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import { checkItems, parseBatchInput, refuseOutputs, type BatchGenerateLipsyncInput } from './batch-input.ts';
import { estimateCost, type CostEstimate, type EstimateCostInput, type EstimateCostOptions } from './cost-estimates.ts';
import { maxConcurrency, type BatchItemOutcome, type LocalBatches } from './local-batches.ts';
import { guardListener } from './guard-listener.ts';
import type { LocalJobs } from './local-jobs.ts';
import type { LocalQuality, QualityInput } from './local-quality.ts';
import { parseInput } from './parse-input.ts';
import type { RunningWork } from './running-work.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { Warning } from '../contract/provider-types.ts';

/** Two inputs, each a path or an http(s) URL, an output file, and the options of a request. */
export type GenerateLipsyncInput = LipsyncOptionsInput & {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Replaces an existing output. Without it, such a job fails with `output_exists`. */
  readonly overwrite?: boolean;
};

export interface GenerateLipsyncContext {
  /** Cancels the job with the reason of the signal. */
  readonly signal?: AbortSignal;
  /** An error that it throws, or with which it rejects, is a warning of the process; the job continues. */
  onProgress?(update: ProgressUpdate): unknown;
}

export interface GenerateLipsyncResult {
  readonly status: 'completed';
  readonly outputPath: string;
  /** Null if the speech was silent, so that no provider was needed. */
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  readonly durationSeconds: number;
  /** Null until the cost of every attempt is known. */
  readonly costUsd: number | null;
  /** Null if not measured. */
  readonly quality: Quality | null;
  readonly attempts: readonly Attempt[];
  readonly warnings: readonly Warning[];
}

export interface BatchGenerateLipsyncContext {
  /** Cancels the items that run and starts no more. */
  readonly signal?: AbortSignal;
  /** Items that run at the same time, 1 to 16. Default: 2. */
  readonly concurrency?: number;
  /** Called with the index of the item. An error that it throws is a warning of the process. */
  onProgress?(update: ProgressUpdate & { readonly item: number }): unknown;
  /** Called when an item has ended. */
  onItemEnd?(result: BatchItemResult): unknown;
}

export interface BatchItemResult {
  /** Index from 0. */
  readonly item: number;
  readonly status: 'completed' | 'failed' | 'canceled';
  readonly outputPath: string;
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  /** Null unless completed. */
  readonly durationSeconds: number | null;
  /** Of all tries of the item, also in earlier runs of the batch. */
  readonly costUsd: number;
  readonly quality: Quality | null;
  readonly warnings: readonly Warning[];
  /** Null if completed. */
  readonly error: LipsyncError | null;
  /** An earlier run of the batch has completed it. */
  readonly isFromEarlierRun: boolean;
}

export interface BatchGenerateLipsyncResult {
  /** In the order of the items. */
  readonly items: readonly BatchItemResult[];
  readonly summary: {
    readonly total: number;
    readonly success: number;
    readonly failed: number;
    readonly canceled: number;
    /** Seconds of all outputs. */
    readonly totalDuration: number;
    readonly totalCostUsd: number;
  };
}

/** What is known about a video to measure, and how to measure it. */
export interface CheckQualityOptions
  extends Omit<QualityInput, 'videoPath'>, Pick<GenerateLipsyncContext, 'signal' | 'onProgress'> {}

/** Lip-sync in this process, without a queue or a server. */
export interface LipsyncService {
  /**
   * Writes `outputPath`: the clip speaking the speech. A request for the same work after a crash resumes it. Resolves
   * when the file is complete. Throws a `LipsyncError`, for example `InputNotFoundError`, `TimeoutError` or
   * `ProviderError`, and then leaves no file.
   */
  generateLipsync(input: GenerateLipsyncInput, context?: GenerateLipsyncContext): Promise<GenerateLipsyncResult>;
  /**
   * Runs up to 500 items, each as `generateLipsync` does; a failed one does not fail the batch. The same batch, started
   * again after a crash or a failure, runs only the items that are not complete. Throws a `BatchProblemsError` that names
   * every invalid item before anything starts, and `conflict` while another process runs the same batch.
   */
  batchGenerateLipsync(
    input: BatchGenerateLipsyncInput,
    context?: BatchGenerateLipsyncContext,
  ): Promise<BatchGenerateLipsyncResult>;
  /**
   * Estimates cost and duration for each provider of the plan. Probes the files, but starts and reserves nothing.
   * Throws `InputNotFoundError`, `request_invalid` for a URL, and the `LipsyncError` that `generateLipsync` would throw
   * for these inputs and options.
   */
  estimateCost(input: EstimateCostInput, context?: Pick<GenerateLipsyncContext, 'signal'>): Promise<CostEstimate>;
  /**
   * Measures any video, ours or not: a path or an http(s) URL. What cannot be measured is null with its reason. Costs
   * nothing and stores nothing. Throws `InputNotFoundError`, `clip_unusable` for a file that is no video,
   * `speech_unusable`, and the errors of a download.
   */
  checkLipsyncQuality(path: string, options?: CheckQualityOptions): Promise<Quality>;
  /**
   * Cancels running jobs, which reject with `canceled`, waits up to 35 s for them, and ends all child processes. A new
   * service may use the same data folder at once.
   */
  close(): Promise<void>;
}

const pathsSchema = z.object({
  videoPath: z.string().min(1),
  audioPath: z.string().min(1),
  outputPath: z.string().min(1),
  overwrite: z.boolean().default(false),
});

export interface LipsyncServiceOptions extends EstimateCostOptions {
  readonly localJobs: Pick<LocalJobs, 'run'>;
  readonly localBatches: Pick<LocalBatches, 'run'>;
  readonly localQuality: Pick<LocalQuality, 'measure'>;
  readonly checkOptions: (options: LipsyncOptions) => void;
  readonly untilClosed: RunningWork['run'];
  close(): Promise<void>;
}

const programNames = { video: 'videoPath', audio: 'audioPath', outputName: 'outputName' };
const concurrencySchema = z.object({ concurrency: z.int().min(1).max(maxConcurrency).default(2) });

async function runBatch(
  { localBatches, checkOptions, optionsSchema, untilClosed }: LipsyncServiceOptions,
  input: BatchGenerateLipsyncInput,
  { signal, concurrency: given, onProgress, onItemEnd }: BatchGenerateLipsyncContext = {},
): Promise<BatchGenerateLipsyncResult> {
  const { concurrency } = parseInput(concurrencySchema, { concurrency: given });
  const { items: parsed, outputDir, overwrite, maxCostUsd } = parseBatchInput(input, optionsSchema);
  const rules = { outputDir, overwrite, checkOptions, names: programNames };
  const inputs = await checkItems(parsed, rules);
  const report = guardListener(onProgress);
  const { items, summary } = await untilClosed(
    (stop) =>
      localBatches.run(inputs, refuseOutputs(programNames.outputName), {
        signal: stop,
        concurrency,
        maxCostUsd,
        onProgress: (item, update) => report({ ...update, item }),
        onItemEnd: guardListener(onItemEnd && ((outcome) => onItemEnd(toItemResult(outcome))), 'onItemEnd'),
      }),
    signal,
  );
  const { total, success, failed, canceled, totalDurationMs, totalCostMicros } = summary;
  return {
    items: items.map(toItemResult),
    summary: {
      total,
      success,
      failed,
      canceled,
      totalDuration: totalDurationMs / 1000,
      totalCostUsd: microsToUsd(totalCostMicros),
    },
  };
}

function toItemResult(outcome: BatchItemOutcome): BatchItemResult {
  const { item, status, outputPath, result, error, costMicros, isFromEarlierRun } = outcome;
  return {
    item,
    status,
    outputPath,
    methodUsed: result?.methodUsed ?? null,
    degraded: result?.degraded ?? false,
    durationSeconds: result && result.durationMs / 1000,
    costUsd: microsToUsd(costMicros),
    quality: result?.quality ?? null,
    warnings: result?.warnings ?? [],
    error,
    isFromEarlierRun,
  };
}

export function createLipsyncService(service: LipsyncServiceOptions): LipsyncService {
  return {
    async generateLipsync({ videoPath, audioPath, outputPath, overwrite, ...rest }, context = {}) {
      const paths = parseInput(pathsSchema, { videoPath, audioPath, outputPath, overwrite });
      const options = parseInput(service.optionsSchema, rest);
      const { record, error } = await service.localJobs.run({ ...paths, options }, context);
      if (error) throw error;
      if (!record.result) throw new LipsyncError('internal', 'The job completed without a result.');
      return {
        status: 'completed',
        outputPath: paths.outputPath,
        methodUsed: record.result.methodUsed,
        degraded: record.result.degraded,
        durationSeconds: record.result.durationMs / 1000,
        costUsd: microsToUsdOrNull(costOf(record)),
        quality: record.result.quality ?? null,
        attempts: record.attempts,
        warnings: record.warnings,
      };
    },
    batchGenerateLipsync: (input, context) => runBatch(service, input, context),
    checkLipsyncQuality: (videoPath, { signal, onProgress, ...options } = {}) =>
      service.untilClosed(async (stop) => {
        const context = { signal: stop, onProgress: guardListener(onProgress) };
        return (await service.localQuality.measure({ videoPath, ...options }, context)).quality;
      }, signal),
    estimateCost: (input, { signal } = {}) => service.untilClosed((stop) => estimateCost(input, service, stop), signal),
    close: () => service.close(),
  };
}
