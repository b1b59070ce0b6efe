import { z } from 'zod';
import type { LipsyncOptionsInput, ProviderId, QualityView } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { costOf, toUsdOrNull } from '../jobs/job-view.ts';
import type { ProgressUpdate } from '../jobs/progress-writer.ts';
import type { CostEstimate, CostEstimates, EstimateCostInput } from './cost-estimates.ts';
import type { LocalJobs } from './local-jobs.ts';
import { parseInput, type OptionsSchema } from './parse-options.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { Warning } from '../contract/provider-types.ts';

/** What to make: two files in, one file out, and any of the options that the HTTP interface takes. */
export type GenerateLipsyncInput = LipsyncOptionsInput & {
  readonly videoPath: string;
  readonly audioPath: string;
  readonly outputPath: string;
  /** Replace an output that exists; without it such a job fails with `output_exists`. */
  readonly overwrite?: boolean;
};

export interface GenerateLipsyncContext {
  readonly signal?: AbortSignal;
  onProgress?(update: ProgressUpdate): void;
}

export interface GenerateLipsyncResult {
  readonly status: 'completed';
  readonly outputPath: string;
  /** Null when no provider was needed because the speech was silent. */
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  readonly durationSeconds: number;
  /** Null while what one of the attempts cost is not known. */
  readonly costUsd: number | null;
  /** Null: not measured. */
  readonly quality: QualityView | null;
  readonly attempts: readonly Attempt[];
  readonly warnings: readonly Warning[];
}

/** Lip-sync inside this process. */
export interface LipsyncService {
  /**
   * Makes `outputPath`: the clip speaking the speech. Resolves when the file is complete; throws a `LipsyncError`
   * (`InputNotFoundError`, `TimeoutError`, `ProviderError` among them) and leaves no file otherwise.
   */
  generateLipsync(input: GenerateLipsyncInput, context?: GenerateLipsyncContext): Promise<GenerateLipsyncResult>;
  /**
   * Says what it would cost and how long it would take, provider by provider, without beginning or holding back anything.
   * The files are looked at. Throws `InputNotFoundError`, and a `LipsyncError` for what could not be made either.
   */
  estimateCost(input: EstimateCostInput, context?: Pick<GenerateLipsyncContext, 'signal'>): Promise<CostEstimate>;
  /** Ends the processes that the service keeps warm, running jobs included. */
  close(): Promise<void>;
}

const pathsSchema = z.object({
  videoPath: z.string().min(1),
  audioPath: z.string().min(1),
  outputPath: z.string().min(1),
  overwrite: z.boolean().default(false),
});

export interface LipsyncServiceDependencies {
  readonly localJobs: Pick<LocalJobs, 'run'>;
  readonly costEstimates: CostEstimates;
  readonly optionsSchema: OptionsSchema;
  close(): Promise<void>;
}

export function createLipsyncService(dependencies: LipsyncServiceDependencies): LipsyncService {
  return {
    async generateLipsync(input, context = {}) {
      const { videoPath, audioPath, outputPath, overwrite, ...rest } = input;
      const paths = parseInput(pathsSchema, { videoPath, audioPath, outputPath, overwrite });
      const options = parseInput(dependencies.optionsSchema, rest);
      const { record, error } = await dependencies.localJobs.run({ ...paths, options }, context);
      if (error) throw error;
      if (!record.result) throw new LipsyncError('internal', 'The job ended without a result.');
      return {
        status: 'completed',
        outputPath: paths.outputPath,
        methodUsed: record.result.methodUsed,
        degraded: record.result.degraded,
        durationSeconds: record.result.durationMs / 1000,
        costUsd: toUsdOrNull(costOf(record)),
        quality: null,
        attempts: record.attempts,
        warnings: record.warnings,
      };
    },
    estimateCost: (input, { signal } = {}) => dependencies.costEstimates.estimate(input, signal),
    close: () => dependencies.close(),
  };
}
