import { z } from 'zod';
import type { LipsyncOptionsInput, ProviderId, Quality } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { costOf, toUsdOrNull } from '../jobs/job-view.ts';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import { estimateCost, type CostEstimate, type EstimateCostInput, type EstimateCostOptions } from './cost-estimates.ts';
import { guardListener, type LocalJobs } from './local-jobs.ts';
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
   * Estimates cost and duration for each provider of the plan. Probes the files, but starts and reserves nothing.
   * Throws `InputNotFoundError`, and the `LipsyncError` that `generateLipsync` would throw for these inputs and
   * options.
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
  readonly localQuality: Pick<LocalQuality, 'measure'>;
  readonly untilClosed: RunningWork['run'];
  close(): Promise<void>;
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
        costUsd: toUsdOrNull(costOf(record)),
        quality: record.result.quality ?? null,
        attempts: record.attempts,
        warnings: record.warnings,
      };
    },
    checkLipsyncQuality: (videoPath, { signal, onProgress, ...options } = {}) =>
      service.untilClosed(async (stop) => {
        const context = { signal: stop, onProgress: guardListener(onProgress) };
        return (await service.localQuality.measure({ videoPath, ...options }, context)).quality;
      }, signal),
    estimateCost: (input, { signal } = {}) => service.untilClosed((stop) => estimateCost(input, service, stop), signal),
    close: () => service.close(),
  };
}
