import { BudgetExceededError, type BudgetCap } from '../errors/index.ts';
import type { Documents, StateStore } from '../storage/state-store.ts';
import { totalKeys, type LedgerEntry, type Payer, type Total, type TotalKeys } from './ledger-entry.ts';
import { formatUsd, toMicros, type Micros } from './micros.ts';

/** Limits on the sum of spent and reserved money; null for none. Days and months are UTC. */
export interface BudgetCaps {
  readonly dailyMicros: Micros | null;
  readonly monthlyMicros: Micros | null;
  readonly userDailyMicros: Micros | null;
}

/** The caps that hold for the whole installation; `job` and `batch` are those of a request. */
export type InstallationCap = Exclude<BudgetCap, 'job' | 'batch'>;

/** Spent and reserved so far; `userDay` is null without a user, `batch` without a capped batch. */
export interface Totals {
  readonly day: Total;
  readonly month: Total;
  readonly userDay: Total | null;
  readonly batch: Total | null;
}

const budgetNames: Readonly<Record<InstallationCap, string>> = {
  daily: 'daily budget',
  monthly: 'monthly budget',
  user_daily: 'daily budget of this user',
};

/** The first cap that `micros` more would exceed; null for none, and for an amount of zero. Pure. */
function findExceededCap(caps: BudgetCaps, totals: Totals, micros: Micros): InstallationCap | null {
  if (micros === 0) return null;
  const limits: readonly (readonly [InstallationCap, Micros | null, Total | null])[] = [
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

/** An amount to reserve, and the batch whose cap it must not exceed. */
interface Amount extends Pick<Payer, 'batch'> {
  readonly micros: Micros;
}

/** Throws `budget_exceeded` when the amount would exceed a cap. Pure. */
export function checkCaps(caps: BudgetCaps, totals: Totals, { micros, batch }: Amount): void {
  const { spentMicros, reservedMicros } = totals.batch ?? { spentMicros: 0, reservedMicros: 0 };
  if (batch && micros > 0 && spentMicros + reservedMicros + micros > batch.capMicros) {
    const left = formatUsd(toMicros(Math.max(0, batch.capMicros - spentMicros - reservedMicros)));
    throw new BudgetExceededError(
      'batch',
      `This may cost ${formatUsd(micros)}, but max_cost_usd of the batch leaves ${left}. Send the item in another batch.`,
    );
  }
  const cap = findExceededCap(caps, totals, micros);
  if (cap === null) return;
  const period = cap === 'monthly' ? 'month' : 'day';
  throw new BudgetExceededError(
    cap,
    `The ${budgetNames[cap]} does not cover this job (${formatUsd(micros)}). Try again after the end of the ${period} (UTC).`,
  );
}

/** The total keys of an entry, without those of a user and a batch when there is none. */
export function listTotalKeys({ day, month, userDay, batch }: TotalKeys): string[] {
  return [day, month, userDay, batch].filter((key) => key !== null);
}

/** The stored totals; a missing document is zero. */
export function readTotals(documents: Documents, { day, month, userDay, batch }: TotalKeys): Totals {
  return {
    day: readTotal(documents, day),
    month: readTotal(documents, month),
    userDay: userDay === null ? null : readTotal(documents, userDay),
    batch: batch === null ? null : readTotal(documents, batch),
  };
}

export function readTotal(documents: Documents, key: string): Total {
  // `as`: only the ledger writes these documents.
  return (documents.get(key) as Total | undefined) ?? { reservedMicros: 0, spentMicros: 0 };
}

/** An amount that an attempt of `user` at `atMs` would cost. */
export interface PlannedSpending extends Payer, Pick<LedgerEntry, 'atMs'> {
  readonly micros: Micros;
}

/** Checks amounts against the caps without reserving anything. */
export class BudgetOutlook {
  readonly #state: StateStore;
  readonly #caps: BudgetCaps;

  constructor({ state, caps }: { readonly state: StateStore; readonly caps: BudgetCaps }) {
    this.#state = state;
    this.#caps = caps;
  }

  /**
   * The cap that the amount would exceed now; null for none. Throws `resource_exhausted` when the state store is
   * unavailable.
   */
  findExceededCap(spending: PlannedSpending): Promise<InstallationCap | null> {
    const keys = totalKeys(spending);
    return this.#state.transact(listTotalKeys(keys), (documents) => ({
      result: findExceededCap(this.#caps, readTotals(documents, keys), spending.micros),
    }));
  }
}
