import type { Clock } from '../contract/ports.ts';
import { LipsyncError } from '../errors/index.ts';
import type { Json, StateStore } from '../storage/state-store.ts';

/** Assumed processing time of a kind of take: a constant, and a factor per second of output. */
export interface ThroughputProfile {
  /** Measurements are stored and averaged by this key. It never changes: stored measurements would be lost. */
  readonly key: string;
  readonly fixedMs: number;
  readonly perSecondMs: number;
}

export interface MeasuredWork {
  readonly profile: ThroughputProfile;
  /** Length of the output. */
  readonly durationMs: number;
}

export interface ThroughputEstimate {
  /** Processing time of this output, from start to take. */
  readonly workMs: number;
  /** Processing time of recent outputs of this kind, of any length; `workMs` before the first one. */
  readonly typicalMs: number;
  /** False when nothing was measured within a day, so that `workMs` is an assumption. */
  readonly isMeasured: boolean;
}

/** A type alias, because it is stored as JSON. */
type StoredEstimate = {
  /** Measured time divided by assumed time: an exponential moving average. */
  readonly factor: number;
  readonly typicalMs: number;
  /** Time of the latest measurement; missing in documents of earlier versions, which count as expired. */
  readonly learnedAtMs?: number;
};

/** Weight of the latest measurement in the moving average. */
const newestShare = 0.2;

/**
 * Limit on the factor of one measurement, so that one outlier, such as a suspended machine, moves the average little.
 */
const maxFactor = 20;

const hourMs = 3_600_000;

/**
 * Half-life of a measured factor, after which it has moved halfway back to 1. Without it, a provider that was slow once
 * would be avoided and never measured again.
 */
const halfLifeMs = 6 * hourMs;
const expiryMs = 24 * hourMs;

/**
 * Processing times measured over all processes of the installation. Methods throw `resource_exhausted` when the state
 * store is unavailable.
 */
export class ThroughputEstimates {
  readonly #state: StateStore;
  readonly #clock: Clock;

  constructor({ state, clock }: { readonly state: StateStore; readonly clock: Clock }) {
    this.#state = state;
    this.#clock = clock;
  }

  async read(work: MeasuredWork): Promise<ThroughputEstimate> {
    const [estimate] = await this.readEach([work]);
    if (!estimate) throw new LipsyncError('internal', 'A work has no throughput estimate.');
    return estimate;
  }

  /** The estimate of each work, in order, with one transaction. */
  async readEach(works: readonly MeasuredWork[]): Promise<readonly ThroughputEstimate[]> {
    if (works.length === 0) return [];
    const keys = [...new Set(works.map(keyOf))];
    return this.#state.transact(keys, (documents) => {
      const nowMs = this.#clock.nowMs();
      return { result: works.map((work) => toEstimate(work, decay(toStored(documents.get(keyOf(work))), nowMs))) };
    });
  }

  record(work: MeasuredWork, tookMs: number): Promise<void> {
    const key = keyOf(work);
    return this.#state.transact([key], (documents) => {
      const nowMs = this.#clock.nowMs();
      const updated = average(decay(toStored(documents.get(key)), nowMs), work, tookMs);
      return { result: undefined, writes: new Map<string, Json>([[key, { ...updated, learnedAtMs: nowMs }]]) };
    });
  }
}

function toEstimate(work: MeasuredWork, stored: StoredEstimate | undefined): ThroughputEstimate {
  const workMs = Math.round(assumedMs(work) * (stored?.factor ?? 1));
  return { workMs, typicalMs: stored?.typicalMs ?? workMs, isMeasured: stored !== undefined };
}

/** The estimate after the time since its last measurement; `typicalMs` changes in proportion to the factor. */
function decay(stored: StoredEstimate | undefined, nowMs: number): StoredEstimate | undefined {
  if (!stored) return undefined;
  const ageMs = Math.max(0, nowMs - (stored.learnedAtMs ?? 0));
  if (ageMs >= expiryMs) return undefined;
  // An exponent, not a difference: twice as slow and twice as fast decay alike.
  const factor = stored.factor ** (0.5 ** (ageMs / halfLifeMs));
  return { factor, typicalMs: Math.round((stored.typicalMs * factor) / stored.factor) };
}

function average(stored: StoredEstimate | undefined, work: MeasuredWork, tookMs: number): StoredEstimate {
  const factor = Math.min(maxFactor, Math.max(1 / maxFactor, tookMs / assumedMs(work)));
  const measuredMs = Math.round(factor * assumedMs(work));
  if (!stored) return { factor, typicalMs: measuredMs };
  const mean = (before: number, newest: number): number => before + newestShare * (newest - before);
  return { factor: mean(stored.factor, factor), typicalMs: Math.round(mean(stored.typicalMs, measuredMs)) };
}

function assumedMs({ profile, durationMs }: MeasuredWork): number {
  return profile.fixedMs + (durationMs * profile.perSecondMs) / 1000;
}

function keyOf({ profile }: MeasuredWork): string {
  return `pace/${profile.key}`;
}

function toStored(document: Json | undefined): StoredEstimate | undefined {
  // `as`: only this file writes these documents.
  return document as StoredEstimate | undefined;
}
