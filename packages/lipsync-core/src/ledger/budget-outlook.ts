import type { StateStore } from '../state/state-store.ts';
import { firstCapPassed, type BlockingCap, type BudgetCaps } from './budget-caps.ts';
import type { Total } from './ledger-entry.ts';
import { totalKeys } from './ledger-keys.ts';

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

export function createBudgetOutlook({ state, caps }: { readonly state: StateStore; readonly caps: BudgetCaps }): BudgetOutlook {
  return {
    capInTheWay({ user, atMs, micros }) {
      const { day, month, userDay } = totalKeys({ atMs, user });
      return state.transact([day, month, ...(userDay === null ? [] : [userDay])], (documents) => {
        // `as`: only the ledger writes these documents.
        const totalOf = (key: string): Total => (documents.get(key) as Total | undefined) ?? { reservedMicros: 0, spentMicros: 0 };
        return { result: firstCapPassed(caps, { day: totalOf(day), month: totalOf(month), userDay: userDay === null ? null : totalOf(userDay) }, micros) };
      });
    },
  };
}
