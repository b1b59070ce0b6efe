import type { BreakerEffect } from '../errors/index.ts';

/** When a circuit breaker opens and for how long. */
export interface BreakerSettings {
  /** Consecutive vendor faults within `windowMs` that open the breaker. A successful attempt resets the count. */
  readonly maxFaults: number;
  readonly windowMs: number;
  /** Time open after vendor faults; doubles with each failed probe up to `maxCoolDownMs`. */
  readonly coolDownMs: number;
  readonly maxCoolDownMs: number;
  /** Time open after rejected credentials or an exhausted balance, which need a person. */
  readonly refusedCoolDownMs: number;
  readonly maxRefusedCoolDownMs: number;
  /** How long a probe may take before another job may probe. */
  readonly probeLimitMs: number;
}

/** A breaker as it is stored, as JSON; a type alias, because an interface is not assignable to `Json`. */
export type StoredBreaker = {
  /** Times of the consecutive faults, oldest first. */
  readonly faultsAtMs: readonly number[];
  /** Whether the provider has accepted work since the breaker last opened. Meaningless while it is open. */
  readonly isTried: boolean;
  readonly opened: {
    readonly reason: 'faults' | 'refused';
    readonly untilMs: number;
    /** Consecutive openings for this reason. */
    readonly times: number;
    /** Jobs that were admitted as probes since the breaker opened, latest last. */
    readonly probes: readonly string[];
    /** Until when the latest probe blocks others; null while there is none. */
    readonly probedUntilMs: number | null;
  } | null;
};

export type BreakerVerdict =
  | { readonly admitted: true; readonly probe: boolean }
  /** `openUntilMs` is the earliest time at which another call can be admitted. */
  | { readonly admitted: false; readonly openUntilMs: number };

/** The end of an attempt: success, or the breaker effect of its error code. */
export type BreakerReport = 'success' | BreakerEffect;

/** A transition. `next` is absent when nothing changed. */
export interface BreakerTransition<Result> {
  readonly result: Result;
  readonly next?: StoredBreaker;
}

export interface BreakerContext {
  readonly nowMs: number;
  readonly settings: BreakerSettings;
}

type Opened = NonNullable<StoredBreaker['opened']>;

export const closedBreaker: StoredBreaker = Object.freeze({ faultsAtMs: [], isTried: false, opened: null });

const admitted = Object.freeze({ admitted: true, probe: false });
const admittedAsProbe = Object.freeze({ admitted: true, probe: true });

/** Bounds the stored size. A probe that is followed by this many others no longer counts. */
const maxProbes = 20;

/** Admits every job while closed, none while open, and one probe at a time while half-open. Pure. */
export function admit(
  breaker: StoredBreaker,
  jobId: string,
  { nowMs, settings }: BreakerContext,
): BreakerTransition<BreakerVerdict> {
  const { opened } = breaker;
  if (!opened) return { result: admitted };
  if (nowMs < opened.untilMs) return { result: { admitted: false, openUntilMs: opened.untilMs } };
  const { probes, probedUntilMs } = opened;
  if (probedUntilMs !== null && nowMs < probedUntilMs && probes.at(-1) !== jobId)
    return { result: { admitted: false, openUntilMs: probedUntilMs } };
  const others = probes.filter((probe) => probe !== jobId).slice(1 - maxProbes);
  return {
    result: admittedAsProbe,
    next: {
      ...breaker,
      opened: { ...opened, probes: [...others, jobId], probedUntilMs: nowMs + settings.probeLimitMs },
    },
  };
}

/** Whether it is unknown that the provider works, so that one job at a time is enough to find out. Pure. */
export function isUntried({ opened, isTried }: StoredBreaker): boolean {
  return !opened && !isTried;
}

/** The transition when the provider has accepted work. The result is true for the first time. Pure. */
export function afterAcceptance(breaker: StoredBreaker): BreakerTransition<boolean> {
  return isUntried(breaker) ? { result: true, next: { ...breaker, isTried: true } } : { result: false };
}

/** The transition when the attempt of a job has ended. Pure. */
export function afterReport(
  breaker: StoredBreaker,
  { jobId, report }: { readonly jobId: string; readonly report: BreakerReport },
  context: BreakerContext,
): BreakerTransition<undefined> {
  const { opened } = breaker;
  if (!opened) return afterReportWhenClosed(breaker, report, context);
  const isProbe = opened.probes.at(-1) === jobId && opened.probedUntilMs !== null;
  switch (report) {
    // A job that was admitted before the breaker opened proves nothing. A probe that reports late still does.
    case 'success':
      return opened.probes.includes(jobId) ? to({ ...closedBreaker, isTried: true }) : unchanged;
    case 'opens':
      return isProbe || opened.reason !== 'refused' ? to(reopen(opened, 'refused', context)) : unchanged;
    case 'counts':
      return isProbe ? to(reopen(opened, 'faults', context)) : unchanged;
    case 'none':
      return isProbe ? to({ ...breaker, opened: { ...opened, probedUntilMs: null } }) : unchanged;
  }
}

const unchanged: BreakerTransition<undefined> = Object.freeze({ result: undefined });

function to(next: StoredBreaker): BreakerTransition<undefined> {
  return { result: undefined, next };
}

function afterReportWhenClosed(
  breaker: StoredBreaker,
  report: BreakerReport,
  context: BreakerContext,
): BreakerTransition<undefined> {
  switch (report) {
    case 'opens':
      return to(reopen(null, 'refused', context));
    case 'success':
      if (breaker.isTried && breaker.faultsAtMs.length === 0) return unchanged;
      return to({ ...breaker, isTried: true, faultsAtMs: [] });
    case 'counts': {
      const faultsAtMs = [...recentFaults(breaker, context), context.nowMs];
      const isOpening = faultsAtMs.length >= context.settings.maxFaults;
      return to(isOpening ? reopen(null, 'faults', context) : { ...breaker, faultsAtMs });
    }
    case 'none':
      return unchanged;
  }
}

/** The faults within the window. Pure. */
export function recentFaults({ faultsAtMs }: StoredBreaker, { nowMs, settings }: BreakerContext): readonly number[] {
  return faultsAtMs.filter((atMs) => atMs > nowMs - settings.windowMs);
}

function reopen(before: Opened | null, reason: Opened['reason'], { nowMs, settings }: BreakerContext): StoredBreaker {
  const times = before?.reason === reason ? before.times + 1 : 1;
  const [firstMs, longestMs] =
    reason === 'refused'
      ? [settings.refusedCoolDownMs, settings.maxRefusedCoolDownMs]
      : [settings.coolDownMs, settings.maxCoolDownMs];
  const untilMs = nowMs + Math.min(longestMs, firstMs * 2 ** (times - 1));
  return { ...closedBreaker, opened: { reason, untilMs, times, probes: [], probedUntilMs: null } };
}

/** `opened` includes opening again after a failed probe. */
export type BreakerEvent = 'opened' | 'probed' | 'closed';

/** The state change between two stored breakers; null when there is none to report. Pure. */
export function eventBetween(before: StoredBreaker, after: StoredBreaker): BreakerEvent | null {
  if (after.opened === null) return before.opened === null ? null : 'closed';
  const { untilMs, times, reason, probedUntilMs } = after.opened;
  if (before.opened?.untilMs !== untilMs || before.opened.times !== times || before.opened.reason !== reason)
    return 'opened';
  return probedUntilMs === null || probedUntilMs === before.opened.probedUntilMs ? null : 'probed';
}
