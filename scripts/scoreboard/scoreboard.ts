import { basename } from 'node:path';
import type { Quality } from '../../packages/lipsync-core/src/index.ts';
import { toQualityView } from '../../packages/lipsync-core/src/contract/quality.ts';
import { microsToUsd } from '../../packages/lipsync-core/src/billing/micros.ts';
import type { RatedProvider, RatedTake } from './rate-providers.ts';

/** A part over the takes of a provider. */
export interface PartSummary {
  readonly value: number | null;
  readonly unit: string;
  /** Takes in which it was measured. */
  readonly takes: number;
  /** The most frequent reason of the other takes; null when it was measured in all. */
  readonly reason: string | null;
}

/** What one provider did on all clips. What was not measured is null. */
export interface ProviderSummary {
  readonly takes: number;
  readonly failures: number;
  /** Medians over the takes in which they were measured. */
  readonly sync_score: number | null;
  readonly audio_quality: number | null;
  readonly video_quality: number | null;
  readonly parts: Readonly<Record<string, PartSummary>>;
  /** Number of takes with each label. */
  readonly labels: Readonly<Record<string, number>>;
  /** Number of takes with each grade. */
  readonly grades: Readonly<Record<string, number>>;
  /** Time until the takes were made, and until they were assessed, per second of output. */
  readonly seconds_per_second: number | null;
  readonly total_seconds_per_second: number | null;
  /** Null while the cost of a take is unknown. */
  readonly usd_per_minute: number | null;
  readonly cost_usd: number | null;
}

/** The scoreboard as JSON. */
export function toBoardJson(providers: readonly RatedProvider[]) {
  const qualities = providers.flatMap(({ takes }) => takes.flatMap(({ quality }) => quality ?? []));
  return {
    method_version: qualities[0]?.methodVersion ?? null,
    models: Object.assign({}, ...qualities.map(({ models }) => models)) as Readonly<Record<string, string>>,
    providers: providers.map(({ id, degraded, status, reason, takes }) => ({
      provider: id,
      status,
      reason,
      degraded,
      summary: status === 'rated' ? summarize(takes) : null,
      takes: takes.map(toTakeJson),
    })),
  };
}

export type BoardJson = ReturnType<typeof toBoardJson>;

function toTakeJson(take: RatedTake) {
  return {
    clip: basename(take.clip),
    speech: basename(take.speech),
    error: take.error,
    duration: take.durationSeconds,
    render_seconds: take.renderSeconds,
    total_seconds: take.totalSeconds,
    cost_usd: take.costMicros === null ? null : microsToUsd(take.costMicros),
    quality: take.quality && toQualityView(take.quality),
  };
}

function summarize(takes: readonly RatedTake[]): ProviderSummary {
  const made = takes.filter(({ error }) => error === null);
  const qualities = made.flatMap(({ quality }) => quality ?? []);
  const seconds = sumOf(made.map(({ durationSeconds }) => durationSeconds));
  const costMicros = sumOf(takes.map((take) => take.costMicros));
  const perSecond = (value: number | null): number | null =>
    value === null || seconds === null || seconds === 0 ? null : value / seconds;
  const perSecondMicros = perSecond(costMicros);
  return {
    takes: takes.length,
    failures: takes.length - made.length,
    sync_score: medianOf(qualities.map(({ syncScore }) => syncScore)),
    audio_quality: medianOf(qualities.map(({ audioQuality }) => audioQuality)),
    video_quality: medianOf(qualities.map(({ videoQuality }) => videoQuality)),
    parts: summarizeParts(qualities),
    labels: countOf(qualities.flatMap(({ labels }) => [...new Set(labels.map(({ code }) => code))])),
    grades: countOf(qualities.map(({ grade }) => grade)),
    seconds_per_second: perSecond(sumOf(made.map(({ renderSeconds }) => renderSeconds))),
    total_seconds_per_second: perSecond(sumOf(made.map(({ totalSeconds }) => totalSeconds))),
    usd_per_minute: perSecondMicros === null ? null : microsToUsd(Math.round(perSecondMicros * 60)),
    cost_usd: costMicros === null ? null : microsToUsd(costMicros),
  };
}

function summarizeParts(qualities: readonly Quality[]): ProviderSummary['parts'] {
  const names = [...new Set(qualities.flatMap(({ parts }) => Object.keys(parts)))];
  return Object.fromEntries(
    names.map((name) => {
      const parts = qualities.flatMap((quality) => quality.parts[name] ?? []);
      const values = parts.flatMap(({ value }) => value ?? []);
      const reasons = countOf(parts.flatMap(({ value, reason }) => (value === null ? (reason ?? []) : [])));
      const [reason] = Object.keys(reasons).toSorted((one, other) => (reasons[other] ?? 0) - (reasons[one] ?? 0));
      const unit = parts[0]?.unit ?? '';
      return [name, { value: medianOf(values), unit, takes: values.length, reason: reason ?? null }];
    }),
  );
}

function countOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** Null when one of the values is unknown. */
function sumOf(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}

function medianOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null).toSorted((first, second) => first - second);
  const middle = known.length >> 1;
  if (known.length === 0) return null;
  return known.length % 2 === 1 ? (known[middle] ?? null) : ((known[middle - 1] ?? 0) + (known[middle] ?? 0)) / 2;
}
