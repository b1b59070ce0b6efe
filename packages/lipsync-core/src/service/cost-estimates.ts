import { listProviderIds, type ExecutionPlan } from '../scheduling/execution-plan.ts';
import { z } from 'zod';
import { payerOf } from '../billing/ledger-entry.ts';
import type { LipsyncOptionsInput, ProviderId } from '../contract/index.ts';
import type { Estimator, ProviderEstimate } from '../jobs/cost-estimator.ts';
import { microsToUsd } from '../billing/micros.ts';
import { planTimeline, probeClip, probeSpeech, type MediaLimits } from '../media/index.ts';
import { isUrl, parseInput, requireReadable, type OptionsSchema } from './parse-input.ts';

/** Input of `generateLipsync` without the output; files only. */
export type EstimateCostInput = LipsyncOptionsInput & { readonly videoPath: string; readonly audioPath: string };

export interface CostEstimate {
  /** Length of the output. */
  readonly durationSeconds: number;
  /** Providers in the order in which they would be tried. */
  readonly plan: readonly ProviderId[];
  /** The steps of `plan` with their tries, conditions and caps. */
  readonly planSteps: ExecutionPlan;
  /** Provider that a job would start with now; null if no provider accepts a job. */
  readonly first: ProviderId | null;
  readonly providers: readonly {
    readonly provider: ProviderId;
    /** Maximum cost. */
    readonly costUsd: number;
    /** Time until the output is complete; null while the provider accepts no job. */
    readonly expectedSeconds: number | null;
    /** Whether `expectedSeconds` comes from earlier takes rather than from a default. */
    readonly measured: boolean;
    /** Cap that rules out this provider; null for none. */
    readonly cap: ProviderEstimate['cap'];
  }[];
}

export interface EstimateCostOptions {
  readonly estimator: Estimator;
  readonly limits: MediaLimits;
  readonly optionsSchema: OptionsSchema;
}

const path = z
  .string()
  .min(1)
  .refine((source) => !isUrl(source), 'an estimate reads files only; download the URL first');
const pathsSchema = z.object({ videoPath: path, audioPath: path });

/** Probes two files and estimates the cost of a job with them. Throws the errors of `LipsyncService.estimateCost`. */
export async function estimateCost(
  { videoPath, audioPath, ...rest }: EstimateCostInput,
  { estimator, limits, optionsSchema }: EstimateCostOptions,
  signal?: AbortSignal,
): Promise<CostEstimate> {
  const paths = parseInput(pathsSchema, { videoPath, audioPath });
  const options = parseInput(optionsSchema, rest);
  const probing = { limits, ...(signal ? { signal } : {}) };
  const clip = await probeClip(await requireReadable(paths.videoPath, 'clip'), probing);
  const { syncMode, startMs, endMs, audioTrack } = options;
  const speech = await probeSpeech(await requireReadable(paths.audioPath, 'speech'), { ...probing, audioTrack });
  const { durationMs } = planTimeline(clip, speech.durationMs, { syncMode, window: { startMs, endMs } });
  const estimate = await estimator.estimate({ options, durationMs, payer: payerOf(null, options.userId) });
  return {
    durationSeconds: durationMs / 1000,
    plan: listProviderIds(estimate.plan),
    planSteps: estimate.plan,
    first: estimate.first,
    providers: estimate.providers.map(({ provider, costMicros, expectedMs, isMeasured, cap }) => ({
      provider,
      costUsd: microsToUsd(costMicros),
      expectedSeconds: expectedMs === null ? null : expectedMs / 1000,
      measured: isMeasured,
      cap,
    })),
  };
}
