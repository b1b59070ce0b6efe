import { z } from 'zod';
import type { LipsyncOptionsInput, ProviderId } from '../contract/index.ts';
import { toUsd } from '../jobs/job-view.ts';
import { planTimeline, probeClip, probeSpeech, type MediaLimits } from '../media/index.ts';
import type { Estimator, ProviderEstimate } from '../jobs/cost-estimator.ts';
import { parseInput, type OptionsSchema } from './parse-options.ts';
import { requireReadable } from './readable-input.ts';

/** As for `generateLipsync`, less the output. */
export type EstimateCostInput = LipsyncOptionsInput & { readonly videoPath: string; readonly audioPath: string };

export interface CostEstimate {
  /** Length of the output. */
  readonly durationSeconds: number;
  /** The providers that would be tried, in order. */
  readonly plan: readonly ProviderId[];
  /** Who would be asked as things stand; null for nobody. */
  readonly first: ProviderId | null;
  readonly providers: readonly {
    readonly provider: ProviderId;
    /** The most that it would cost. */
    readonly costUsd: number;
    /** Until the output is there; null while the provider is not asked. */
    readonly expectedSeconds: number | null;
    /** Whether that comes from earlier takes or is an assumption. */
    readonly measured: boolean;
    /** The cap that steers the job past this provider; null for none. */
    readonly cap: ProviderEstimate['cap'];
  }[];
}

/** Looks at files and tells what making them speak would come to. */
export interface CostEstimates {
  estimate(input: EstimateCostInput, signal?: AbortSignal): Promise<CostEstimate>;
}

const pathsSchema = z.object({ videoPath: z.string().min(1), audioPath: z.string().min(1) });

export function createCostEstimates({
  estimator,
  limits,
  optionsSchema,
}: {
  readonly estimator: Estimator;
  readonly limits: MediaLimits;
  readonly optionsSchema: OptionsSchema;
}): CostEstimates {
  return {
    async estimate({ videoPath, audioPath, ...rest }, signal) {
      const paths = parseInput(pathsSchema, { videoPath, audioPath });
      const options = parseInput(optionsSchema, rest);
      const probing = { limits, ...(signal ? { signal } : {}) };
      const clip = await probeClip(await requireReadable(paths.videoPath, 'clip'), probing);
      const speech = await probeSpeech(await requireReadable(paths.audioPath, 'speech'), probing);
      const { syncMode, startMs, endMs } = options;
      const { durationMs } = planTimeline(clip, speech.durationMs, { syncMode, window: { startMs, endMs } });
      const { plan, first, providers } = await estimator.estimate({
        options,
        durationMs,
        user: options.userId ?? null,
      });
      return {
        durationSeconds: durationMs / 1000,
        plan,
        first,
        providers: providers.map(({ provider, costMicros, expectedMs, isMeasured, cap }) => ({
          provider,
          costUsd: toUsd(costMicros),
          expectedSeconds: expectedMs === null ? null : expectedMs / 1000,
          measured: isMeasured,
          cap,
        })),
      };
    },
  };
}
