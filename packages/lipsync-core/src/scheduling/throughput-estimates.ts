import type { HeygenMode, ProviderId } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import type { Json, StateStore } from '../storage/state-store.ts';

/** Work of which a pace is kept: modes of one provider take different times. */
export interface MeasuredWork {
  readonly provider: ProviderId;
  readonly heygenMode: HeygenMode;
  /** Length of the output. */
  readonly durationMs: number;
}

export interface ThroughputEstimate {
  /** How long the work takes, once it is begun. */
  readonly workMs: number;
  /** How long any work of this provider took of late; that of this work where none was seen. */
  readonly typicalMs: number;
  /** False while nothing was seen here for a day and `workMs` is an assumption. */
  readonly isMeasured: boolean;
}

/** How fast providers turned out to be, over all processes. Throws what the state store throws. */
export interface ThroughputEstimates {
  look(work: MeasuredWork): Promise<ThroughputEstimate>;
  /** As `Forecast.learn`. */
  learn(work: MeasuredWork, tookMs: number): Promise<void>;
}

/** A type alias, because it is stored as JSON. */
type PaceMemory = {
  /** What the assumed time is multiplied with: a mean in which later work counts more. */
  readonly factor: number;
  readonly typicalMs: number;
  /** When the latest work was seen; absent in what was stored before that was kept, which is long ago. */
  readonly learnedAtMs?: number;
};

/** What counts until something was measured, in milliseconds: a share that every output takes, and one for each of its seconds. */
const assumptions: Readonly<Record<string, { readonly fixedMs: number; readonly perSecondMs: number }>> = {
  'heygen-speed': { fixedMs: 60_000, perSecondMs: 1_000 },
  'heygen-precision': { fixedMs: 120_000, perSecondMs: 3_000 },
  wav2lip: { fixedMs: 2_000, perSecondMs: 2_400 },
  preview: { fixedMs: 1_000, perSecondMs: 650 },
};

/** How much the latest work counts against all before it. */
const newestShare = 0.2;

/** One piece of work whose time says something else, such as a night that the machine was off, moves the mean no further. */
const farthestFactor = 20;

const hourMs = 3_600_000;

/**
 * What was learned drifts back to the assumption, half of the way in this time: a provider that was slow once is avoided
 * and seen no more, so that nothing else would ever say that it is not.
 */
const halfLifeMs = 6 * hourMs;
const forgottenAfterMs = 24 * hourMs;

export interface ThroughputEstimatesDependencies {
  readonly state: StateStore;
  readonly clock: Clock;
}

export function createThroughputEstimates({ state, clock }: ThroughputEstimatesDependencies): ThroughputEstimates {
  const recall = (document: Json | undefined): PaceMemory | undefined => drifted(toMemory(document), clock.nowMs());
  return {
    look: (work) =>
      state.transact([keyOf(work)], (documents) => ({ result: toPace(work, recall(documents.get(keyOf(work)))) })),
    learn: (work, tookMs) =>
      state.transact([keyOf(work)], (documents) => {
        const memory = { ...learn(recall(documents.get(keyOf(work))), work, tookMs), learnedAtMs: clock.nowMs() };
        return { result: undefined, writes: new Map<string, Json>([[keyOf(work), memory]]) };
      }),
  };
}

function toPace(work: MeasuredWork, memory: PaceMemory | undefined): ThroughputEstimate {
  const workMs = Math.round(assumedMs(work) * (memory?.factor ?? 1));
  return { workMs, typicalMs: memory?.typicalMs ?? workMs, isMeasured: memory !== undefined };
}

/** What is left of a memory by now; the times of others follow the factor. */
function drifted(memory: PaceMemory | undefined, nowMs: number): PaceMemory | undefined {
  if (!memory) return undefined;
  const ageMs = Math.max(0, nowMs - (memory.learnedAtMs ?? 0));
  if (ageMs >= forgottenAfterMs) return undefined;
  // By its power: twice and half as long drift back equally far.
  const factor = memory.factor ** (0.5 ** (ageMs / halfLifeMs));
  return { factor, typicalMs: Math.round((memory.typicalMs * factor) / memory.factor) };
}

function learn(memory: PaceMemory | undefined, work: MeasuredWork, tookMs: number): PaceMemory {
  const factor = Math.min(farthestFactor, Math.max(1 / farthestFactor, tookMs / assumedMs(work)));
  const seenMs = Math.round(factor * assumedMs(work));
  if (!memory) return { factor, typicalMs: seenMs };
  const mean = (before: number, newest: number): number => before + newestShare * (newest - before);
  return { factor: mean(memory.factor, factor), typicalMs: Math.round(mean(memory.typicalMs, seenMs)) };
}

function assumedMs(work: MeasuredWork): number {
  const { fixedMs, perSecondMs } = assumptions[nameOf(work)] ?? { fixedMs: 0, perSecondMs: 1_000 };
  return fixedMs + (work.durationMs * perSecondMs) / 1000;
}

function nameOf({ provider, heygenMode }: MeasuredWork): string {
  return provider === 'heygen' ? `heygen-${heygenMode}` : provider;
}

function keyOf(work: MeasuredWork): string {
  return `pace/${nameOf(work)}`;
}

function toMemory(document: Json | undefined): PaceMemory | undefined {
  // `as`: only this file writes these documents.
  return document as PaceMemory | undefined;
}
