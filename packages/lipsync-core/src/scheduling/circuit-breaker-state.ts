import type { BreakerEffect } from '../errors/index.ts';

/** When a breaker opens and for how long. */
export interface BreakerSettings {
  /** Vendor faults in a row that open it: no attempt has worked between them, and the oldest is no older than the window. */
  readonly maxFaults: number;
  readonly windowMs: number;
  /** How long it stays open after vendor faults; doubles with each probe that fails, up to the maximum. */
  readonly coolDownMs: number;
  readonly maxCoolDownMs: number;
  /** The same after a refused key or an empty wallet, which seconds do not mend. */
  readonly refusedCoolDownMs: number;
  readonly maxRefusedCoolDownMs: number;
  /** How long others wait for the word of a probe before one of them probes instead. */
  readonly probeLimitMs: number;
}

/** What a closed or open breaker remembers; a type alias, because it is stored as JSON. */
export type BreakerMemory = {
  /** Times of the faults since an attempt last worked, oldest first. */
  readonly faultsAtMs: readonly number[];
  /** Whether the provider has accepted work since it was last opened; says nothing while it is open. */
  readonly isTried: boolean;
  readonly opened: {
    readonly reason: 'faults' | 'refused';
    readonly untilMs: number;
    /** Openings since it was last closed. */
    readonly times: number;
    /** Those who were let through since it opened, latest last; the last one is waited for until `probedUntilMs`. */
    readonly probes: readonly string[];
    readonly probedUntilMs: number | null;
  } | null;
};

export type Admission =
  | { readonly admitted: true; readonly probe: boolean }
  /** `openUntilMs`: when it is worth asking again. */
  | { readonly admitted: false; readonly openUntilMs: number };

/** How an attempt ended, for the breaker: it worked, or the effect of its error code. */
export type BreakerReport = 'success' | BreakerEffect;

/** What a decision returns; `memory` only where it changed. */
export interface BreakerDecision<Result> {
  readonly result: Result;
  readonly memory?: BreakerMemory;
}

type Opened = NonNullable<BreakerMemory['opened']>;

export const closedBreaker: BreakerMemory = Object.freeze({ faultsAtMs: [], isTried: false, opened: null });

const admitted = Object.freeze({ admitted: true, probe: false });
const admittedAsProbe = Object.freeze({ admitted: true, probe: true });

/** Probes that are remembered; whoever comes later than this many others is not believed. */
const maxProbes = 20;

/** Whether `who` may ask the provider now. Exactly one may while it is half open. Pure. */
export function admit(
  memory: BreakerMemory,
  who: string,
  nowMs: number,
  settings: BreakerSettings,
): BreakerDecision<Admission> {
  const { opened } = memory;
  if (!opened) return { result: admitted };
  if (nowMs < opened.untilMs) return { result: { admitted: false, openUntilMs: opened.untilMs } };
  const { probes, probedUntilMs } = opened;
  if (probedUntilMs !== null && nowMs < probedUntilMs && probes.at(-1) !== who)
    return { result: { admitted: false, openUntilMs: probedUntilMs } };
  const others = probes.filter((probe) => probe !== who).slice(1 - maxProbes);
  return {
    result: admittedAsProbe,
    memory: {
      ...memory,
      opened: { ...opened, probes: [...others, who], probedUntilMs: nowMs + settings.probeLimitMs },
    },
  };
}

/** Whether it is not known yet that the provider works: then one at a time is enough to find out. Pure. */
export function isUntried({ opened, isTried }: BreakerMemory): boolean {
  return !opened && !isTried;
}

/** The provider has taken up somebody's work; true when that is news. Pure. */
export function afterAcceptance(memory: BreakerMemory): BreakerDecision<boolean> {
  return isUntried(memory) ? { result: true, memory: { ...memory, isTried: true } } : { result: false };
}

/** What a report of `who` makes of the breaker. Pure. */
export function afterReport(
  memory: BreakerMemory,
  who: string,
  report: BreakerReport,
  nowMs: number,
  settings: BreakerSettings,
): BreakerDecision<undefined> {
  const { opened } = memory;
  if (!opened) return afterReportWhenClosed(memory, report, nowMs, settings);
  const isProbe = opened.probes.at(-1) === who && opened.probedUntilMs !== null;
  switch (report) {
    // One who was admitted before it opened proves nothing; a probe that was given up and comes late does.
    case 'success':
      return opened.probes.includes(who) ? changed({ ...closedBreaker, isTried: true }) : unchanged;
    case 'opens':
      return isProbe || opened.reason !== 'refused' ? changed(reopen(opened, 'refused', nowMs, settings)) : unchanged;
    case 'counts':
      return isProbe ? changed(reopen(opened, 'faults', nowMs, settings)) : unchanged;
    case 'none':
      return isProbe ? changed({ ...memory, opened: { ...opened, probedUntilMs: null } }) : unchanged;
  }
}

const unchanged: BreakerDecision<undefined> = Object.freeze({ result: undefined });

function changed(memory: BreakerMemory): BreakerDecision<undefined> {
  return { result: undefined, memory };
}

function afterReportWhenClosed(
  memory: BreakerMemory,
  report: BreakerReport,
  nowMs: number,
  settings: BreakerSettings,
): BreakerDecision<undefined> {
  if (report === 'opens') return changed(reopen(null, 'refused', nowMs, settings));
  if (report === 'success')
    return memory.isTried && memory.faultsAtMs.length === 0
      ? unchanged
      : changed({ ...memory, isTried: true, faultsAtMs: [] });
  if (report !== 'counts') return unchanged;
  const faultsAtMs = [...recentFaults(memory, nowMs, settings), nowMs];
  return changed(
    faultsAtMs.length < settings.maxFaults ? { ...memory, faultsAtMs } : reopen(null, 'faults', nowMs, settings),
  );
}

/** The faults that still count. Pure. */
export function recentFaults(
  { faultsAtMs }: BreakerMemory,
  nowMs: number,
  { windowMs }: BreakerSettings,
): readonly number[] {
  return faultsAtMs.filter((atMs) => atMs > nowMs - windowMs);
}

function reopen(
  before: Opened | null,
  reason: Opened['reason'],
  nowMs: number,
  settings: BreakerSettings,
): BreakerMemory {
  const times = before?.reason === reason ? before.times + 1 : 1;
  const [firstMs, longestMs] =
    reason === 'refused'
      ? [settings.refusedCoolDownMs, settings.maxRefusedCoolDownMs]
      : [settings.coolDownMs, settings.maxCoolDownMs];
  const untilMs = nowMs + Math.min(longestMs, firstMs * 2 ** (times - 1));
  return { ...closedBreaker, opened: { reason, untilMs, times, probes: [], probedUntilMs: null } };
}

/** What became of a breaker: it opened, also once more after a probe; let a probe through; or closed. */
export type BreakerEvent = 'opened' | 'probed' | 'closed';

/** What happened between two memories of a breaker; null where nothing did that anybody has to know. Pure. */
export function eventBetween(before: BreakerMemory, after: BreakerMemory): BreakerEvent | null {
  if (after.opened === null) return before.opened === null ? null : 'closed';
  const { untilMs, times, reason, probedUntilMs } = after.opened;
  if (before.opened?.untilMs !== untilMs || before.opened.times !== times || before.opened.reason !== reason)
    return 'opened';
  return probedUntilMs === null || probedUntilMs === before.opened.probedUntilMs ? null : 'probed';
}
