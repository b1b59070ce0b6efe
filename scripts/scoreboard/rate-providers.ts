import { mkdir } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type { GenerateLipsyncResult, LipsyncService, Quality } from '../../packages/lipsync-core/src/index.ts';
import { LipsyncError, toLipsyncError } from '../../packages/lipsync-core/src/errors/index.ts';
import { microsToUsd, usdToMicros } from '../../packages/lipsync-core/src/billing/micros.ts';

/** A provider of this installation. */
export interface BoardProvider {
  readonly id: string;
  readonly degraded: boolean;
  /** The setting whose absence keeps it from being used; null when it is configured. */
  readonly missingSetting: string | null;
  /** Whether its takes cost money at a vendor. */
  readonly isPaid: boolean;
}

/** One take, or why there is none. */
export interface RatedTake {
  readonly clip: string;
  readonly speech: string;
  readonly outputPath: string;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Length of the take; null without one. */
  readonly durationSeconds: number | null;
  /** Until the take was made, without its assessment; null without one. */
  readonly renderSeconds: number | null;
  /** Until the assessed output was complete. */
  readonly totalSeconds: number;
  /** Of all attempts; null while it is unknown. */
  readonly costMicros: number | null;
  readonly quality: Quality | null;
}

export interface RatedProvider {
  readonly id: string;
  readonly degraded: boolean;
  /** `rated`: rendered with; `not_configured`, `not_paid_for`: not rendered with, for this reason. */
  readonly status: 'rated' | 'not_configured' | 'not_paid_for';
  readonly reason: string | null;
  readonly takes: readonly RatedTake[];
}

export type BoardService = Pick<LipsyncService, 'generateLipsync' | 'estimateCost' | 'close'>;

export interface RateOptions {
  readonly clips: readonly string[];
  readonly speeches: readonly string[];
  readonly providers: readonly BoardProvider[];
  readonly maxCostUsd: number | null;
  readonly outputFolder: string;
  readonly signal: AbortSignal;
  /** A service for the takes of one provider, which is closed after them. */
  openService(provider: BoardProvider): BoardService;
  onProgress(line: string): void;
  /** Called with each provider that was listed or rendered takes, also when an error ends its takes early. */
  onRated?(provider: RatedProvider): void;
}

interface Pair {
  readonly clip: string;
  readonly speech: string;
}

/**
 * Renders every clip with every speech by every provider, one after the other, and rates the takes. Before a paid
 * provider starts, the estimates of all its takes are compared with what is left of the cap. Throws
 * `budget_exceeded` when they exceed it, before anything was rendered by that provider, and the abort error.
 */
export async function rateProviders(options: RateOptions): Promise<readonly RatedProvider[]> {
  const rated: RatedProvider[] = [];
  const add = (provider: RatedProvider): void => {
    rated.push(provider);
    options.onRated?.(provider);
  };
  let leftMicros = usdToMicros(options.maxCostUsd ?? 0) as number;
  for (const provider of options.providers) {
    const { id, degraded } = provider;
    const reason = findObstacle(provider, options.maxCostUsd);
    if (reason !== null) {
      const status = provider.missingSetting === null ? 'not_paid_for' : 'not_configured';
      add({ id, degraded, status, reason, takes: [] });
      continue;
    }
    const takes: RatedTake[] = [];
    try {
      leftMicros -= await rateProvider(provider, options, { takes, leftMicros });
    } finally {
      // What was paid for is rated, whatever ends it.
      if (takes.length > 0) add({ id, degraded, status: 'rated', reason: null, takes });
    }
  }
  return rated;
}

function findObstacle({ missingSetting, isPaid }: BoardProvider, maxCostUsd: number | null): string | null {
  if (missingSetting !== null) return `${missingSetting} is not set`;
  return isPaid && maxCostUsd === null ? 'its takes cost money; allow an amount with --max-cost-usd' : null;
}

interface ProviderTakes {
  /** Receives each take when it has ended. */
  readonly takes: RatedTake[];
  readonly leftMicros: number;
}

/** Returns what the takes of a paid provider have cost; an unknown cost counts as its estimate. */
async function rateProvider(
  provider: BoardProvider,
  options: RateOptions,
  { takes, leftMicros }: ProviderTakes,
): Promise<number> {
  const pairs = options.clips.flatMap((clip) => options.speeches.map((speech) => ({ clip, speech })));
  const service = options.openService(provider);
  try {
    const quotes = provider.isPaid ? await quotePairs(service, { provider, pairs, leftMicros }, options.signal) : [];
    await mkdir(join(options.outputFolder, provider.id), { recursive: true });
    let spentMicros = 0;
    for (const [index, pair] of pairs.entries()) {
      const take = await renderTake(service, { provider, pair, index, leftMicros: leftMicros - spentMicros }, options);
      if (provider.isPaid) spentMicros += take.costMicros ?? quotes[index] ?? 0;
      options.onProgress(describe(provider, take));
      takes.push(take);
    }
    return spentMicros;
  } finally {
    await service.close();
  }
}

interface PaidTakes {
  readonly provider: BoardProvider;
  readonly pairs: readonly Pair[];
  readonly leftMicros: number;
}

/** The most that each take may cost. Throws `budget_exceeded` when they exceed what is left together. */
async function quotePairs(
  service: BoardService,
  { provider, pairs, leftMicros }: PaidTakes,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const quotes: number[] = [];
  for (const { clip, speech } of pairs) {
    const input = { videoPath: clip, audioPath: speech, method: provider.id };
    const { providers } = await service.estimateCost(input, { signal });
    quotes.push(usdToMicros(providers.find((estimate) => estimate.provider === provider.id)?.costUsd ?? 0));
  }
  const neededMicros = quotes.reduce((sum, quote) => sum + quote, 0);
  if (neededMicros <= leftMicros) return quotes;
  throw new LipsyncError(
    'budget_exceeded',
    `The ${pairs.length} takes of ${provider.id} may cost $${microsToUsd(neededMicros)}, and $${microsToUsd(leftMicros)} of --max-cost-usd is left. Nothing was rendered with it.`,
  );
}

interface TakeToRender {
  readonly provider: BoardProvider;
  readonly pair: Pair;
  readonly index: number;
  readonly leftMicros: number;
}

async function renderTake(
  service: BoardService,
  { provider, pair, index, leftMicros }: TakeToRender,
  { outputFolder, signal }: RateOptions,
): Promise<RatedTake> {
  const { clip, speech } = pair;
  const outputPath = join(outputFolder, provider.id, `${index + 1}-${nameOf(clip)}-${nameOf(speech)}.mp4`);
  const take = { clip, speech, outputPath };
  const startedMs = performance.now();
  try {
    const cap = provider.isPaid ? { maxCostUsd: microsToUsd(Math.max(0, leftMicros)) } : {};
    const result = await service.generateLipsync(
      { videoPath: clip, audioPath: speech, outputPath, method: provider.id, ...cap },
      { signal },
    );
    return {
      ...take,
      error: null,
      durationSeconds: result.durationSeconds,
      renderSeconds: renderSecondsOf(result),
      totalSeconds: (performance.now() - startedMs) / 1000,
      costMicros: costOf(result),
      quality: result.quality,
    };
  } catch (error) {
    if (signal.aborted) throw error;
    const { code, message } = toLipsyncError(error);
    const totalSeconds = (performance.now() - startedMs) / 1000;
    const unknown = { durationSeconds: null, renderSeconds: null, quality: null };
    // The cost of failed attempts is in the ledger, which the error does not carry.
    return { ...take, ...unknown, error: { code, message }, totalSeconds, costMicros: provider.isPaid ? null : 0 };
  }
}

/** The time of all attempts; speech analysis and assessment are not part of them. */
function renderSecondsOf({ attempts }: GenerateLipsyncResult): number | null {
  if (attempts.length === 0 || attempts.some(({ endedAtMs }) => endedAtMs === null)) return null;
  return attempts.reduce((sum, { startedAtMs, endedAtMs }) => sum + ((endedAtMs ?? 0) - startedAtMs), 0) / 1000;
}

function costOf({ attempts }: GenerateLipsyncResult): number | null {
  if (attempts.some(({ costMicros }) => costMicros === null)) return null;
  return attempts.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0);
}

function nameOf(path: string): string {
  return basename(path, extname(path));
}

function describe({ id }: BoardProvider, { clip, speech, error, totalSeconds }: RatedTake): string {
  const outcome = error ? `${error.code}: ${error.message}` : `${totalSeconds.toFixed(1)} s`;
  return `${id}: ${basename(clip)} × ${basename(speech)}: ${outcome}`;
}
