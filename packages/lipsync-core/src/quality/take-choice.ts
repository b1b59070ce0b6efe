import type { Quality } from '../contract/quality.ts';

/** Whether a take is delivered at once, or only if no other provider makes a better one. */
export type TakeVerdict =
  | { readonly type: 'accepted' }
  /** `reason` is a sentence for people. */
  | { readonly type: 'rejected'; readonly reason: string };

/** A rejected take among which the best is chosen. */
export interface RatedTake {
  /** Whether it only stands in for a real result. */
  readonly degraded: boolean;
  readonly quality?: Quality;
}

/**
 * Rejects a take with a fatal label, or with a sync score below the lowest accepted one (null for none). What was not
 * measured rejects nothing. Pure.
 */
export function judgeTake({ labels, syncScore }: Quality, minSyncScore: number | null): TakeVerdict {
  const faults = labels.filter(({ fatal }) => fatal).map(({ code, message }) => `${code}: ${message}`);
  const isTooLow = syncScore !== null && minSyncScore !== null && syncScore < minSyncScore;
  const reasons = [
    ...(isTooLow ? [`Its sync score ${formatScore(syncScore)} is below ${formatScore(minSyncScore)}.`] : []),
    ...faults,
  ];
  return reasons.length === 0 ? { type: 'accepted' } : { type: 'rejected', reason: reasons.join(' ') };
}

/**
 * Returns the best of rejected takes, which are in the order in which they were made; undefined for none. The first
 * difference decides:
 *
 * 1. A take that is not degraded is better than a degraded one.
 * 2. A take without a fatal label is better than one with.
 * 3. Takes that were scored by the same method form a group, and those without a score another. A take of the group
 *    whose first take was made earlier is better, because scores of different methods are not comparable.
 * 4. Within a group, the higher sync score is better.
 * 5. The earlier take is better: the plan prefers its provider.
 *
 * An added take never changes the order of the others, so that it is enough to keep the best one. Pure.
 */
export function findBestTake<Take extends RatedTake>(takes: readonly Take[]): Take | undefined {
  const best = smallest(takes, (take) => [Number(take.degraded), Number(hasFatalLabel(take))]);
  const [first] = best;
  if (!first) return undefined;
  const group = best.filter((take) => methodOf(take) === methodOf(first));
  return smallest(group, ({ quality }) => [-(quality?.syncScore ?? 0)])[0];
}

/** The takes with the smallest rank, compared number by number. */
function smallest<Take>(takes: readonly Take[], rankOf: (take: Take) => readonly number[]): readonly Take[] {
  const compare = (one: Take, other: Take): number => {
    const others = rankOf(other);
    return rankOf(one).reduce((result, rank, index) => result || rank - (others[index] ?? 0), 0);
  };
  return takes.filter((take) => takes.every((other) => compare(take, other) <= 0));
}

function hasFatalLabel({ quality }: RatedTake): boolean {
  return quality?.labels.some(({ fatal }) => fatal) ?? false;
}

/** Takes with the same text were scored in the same way; empty without a score. */
function methodOf({ quality }: RatedTake): string {
  if (!quality || quality.syncScore === null) return '';
  const models = Object.entries(quality.models).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify([quality.methodVersion, quality.sync?.method ?? null, models]);
}

function formatScore(score: number): string {
  return score.toFixed(2);
}
