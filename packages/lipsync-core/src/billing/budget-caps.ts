import { LipsyncError } from '../errors/index.ts';
import type { Total } from './ledger-entry.ts';

/** The most that may be spent and held back together, in millionths of a dollar; null for no limit. UTC days and months. */
export interface BudgetCaps {
  readonly dailyMicros: number | null;
  readonly monthlyMicros: number | null;
  readonly userDailyMicros: number | null;
}

/** What is spent and held back so far; `userDay` is null where there is no user. */
export interface Totals {
  readonly day: Total;
  readonly month: Total;
  readonly userDay: Total | null;
}

/** A cap on what may be spent. */
export type BlockingCap = 'daily' | 'monthly' | 'user_daily';

const settingOf: Readonly<Record<BlockingCap, string>> = {
  daily: 'LIPSYNC_BUDGET_DAILY_USD',
  monthly: 'LIPSYNC_BUDGET_MONTHLY_USD',
  user_daily: 'LIPSYNC_BUDGET_USER_DAILY_USD',
};

/** Throws `budget_exceeded`, naming the cap, when `micros` more would pass one. What is free passes every cap. Pure. */
export function checkCaps(caps: BudgetCaps, totals: Totals, micros: number): void {
  const cap = firstCapPassed(caps, totals, micros);
  if (cap !== null) throw exceeded(cap, micros);
}

/** The cap that `micros` more would pass; null for none, as for what is free. Pure. */
export function firstCapPassed(caps: BudgetCaps, totals: Totals, micros: number): BlockingCap | null {
  if (micros === 0) return null;
  const limits: readonly (readonly [BlockingCap, number | null, Total | null])[] = [
    ['user_daily', caps.userDailyMicros, totals.userDay],
    ['daily', caps.dailyMicros, totals.day],
    ['monthly', caps.monthlyMicros, totals.month],
  ];
  for (const [cap, capMicros, total] of limits) {
    if (capMicros === null || total === null) continue;
    if (total.spentMicros + total.reservedMicros + micros > capMicros) return cap;
  }
  return null;
}

function exceeded(cap: BlockingCap, micros: number): LipsyncError {
  const until = cap === 'monthly' ? 'the month ends' : 'the day ends';
  return new LipsyncError(
    'budget_exceeded',
    `The budget of ${settingOf[cap]} has less left than the $${(micros / 1e6).toFixed(6)} that this may cost. Raise it, or wait until ${until} (UTC).`,
    { details: { cap } },
  );
}
