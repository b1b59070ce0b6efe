import type { StateStore } from '../storage/state-store.ts';
import { firstCapPassed, type BlockingCap, type BudgetCaps } from './budget-caps.ts';
import { totalKeys } from './ledger-keys.ts';
import { keysOf, readTotals } from './stored-totals.ts';

export interface Spending {
  /** Who pays; null for nobody in particular. */
  readonly user: string | null;
  /** Its UTC day and month are those that pay. */
  readonly atMs: number;
  readonly micros: number;
}

/** Looks at the budgets without holding anything back. Throws what the state store throws. */
export interface BudgetOutlook {
  /** The cap that so much more would pass just now; null for none. */
  capInTheWay(spending: Spending): Promise<BlockingCap | null>;
}

export function createBudgetOutlook({
  state,
  caps,
}: {
  readonly state: StateStore;
  readonly caps: BudgetCaps;
}): BudgetOutlook {
  return {
    capInTheWay({ user, atMs, micros }) {
      const totals = totalKeys({ atMs, user });
      return state.transact(keysOf(totals), (documents) => ({
        result: firstCapPassed(caps, readTotals(documents, totals), micros),
      }));
    },
  };
}
