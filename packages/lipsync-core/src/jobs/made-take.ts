import type { Warning } from '../contract/provider-types.ts';
import type { Quality } from '../contract/quality.ts';
import { isCandidate, type Attempt, type KeptTake } from '../providers/attempt.ts';
import { findBestTake } from '../quality/take-choice.ts';
import type { MadeTake } from './job-record.ts';

/** An attempt whose take is kept. */
type AttemptWithTake = Attempt & { readonly take: KeptTake };

/** Returns an accepted take that an earlier run has not published yet; undefined without one. Pure. */
export function findAcceptedTake(attempts: readonly Attempt[]): MadeTake | undefined {
  return attempts.at(-1)?.quality && findLastTake(attempts);
}

/** Returns what can be delivered when no further run works for the job; undefined if there is nothing. Pure. */
export function findFinishedTake(attempts: readonly Attempt[]): MadeTake | undefined {
  return findLastTake(attempts) ?? findBestCandidate(attempts);
}

/** Returns the take of a last attempt that has succeeded. A warning states if it was not assessed. */
function findLastTake(attempts: readonly Attempt[]): MadeTake | undefined {
  const last = attempts.at(-1);
  if (last?.outcome !== 'succeeded' || !hasTake(last)) return undefined;
  const made = toMadeTake(last, attempts.length - 1);
  return last.quality ? made : { ...made, warnings: [...made.warnings, notMeasured] };
}

const notMeasured: Warning = Object.freeze({
  code: 'quality_not_measured',
  message: 'The quality was not measured because the job had to end first.',
});

/** Returns the best of the rejected takes, with the warning that states it; undefined without one. Pure. */
export function findBestCandidate(attempts: readonly Attempt[]): MadeTake | undefined {
  const candidates = attempts.flatMap((attempt, attemptIndex) =>
    isCandidate(attempt) ? [{ ...attempt, attemptIndex, degraded: attempt.take.degraded }] : [],
  );
  const best = findBestTake(candidates);
  if (!best) return undefined;
  const made = toMadeTake(best, best.attemptIndex);
  const warning = {
    code: 'quality_below_request',
    message: `No take has the requested quality; the best one is delivered. ${best.message ?? ''}`.trim(),
  };
  return { ...made, warnings: [...made.warnings, warning] };
}

function hasTake(attempt: Attempt): attempt is AttemptWithTake {
  return attempt.take !== undefined;
}

function toMadeTake({ provider, quality, take }: AttemptWithTake, attemptIndex: number): MadeTake {
  return {
    ...take,
    methodUsed: provider,
    attemptIndex,
    ...(quality && { quality }),
    warnings: quality ? joinWarnings(take.warnings, quality) : take.warnings,
  };
}

/**
 * Adds the fatal labels of a take to its warnings. A warning with the code of a label gets its ranges, so that both state
 * the same. Pure.
 */
export function joinWarnings(warnings: readonly Warning[], { labels }: Quality): readonly Warning[] {
  const given = warnings.map((warning) => {
    const label = labels.find(({ code }) => code === warning.code);
    return label ? { ...warning, ranges: label.ranges } : warning;
  });
  const added = labels.filter(({ code, fatal }) => fatal && !warnings.some((warning) => warning.code === code));
  return [...given, ...added.map(({ code, message, ranges }) => ({ code, message, ranges }))];
}
