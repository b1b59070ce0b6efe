import type { Documents } from '../storage/state-store.ts';
import type { Totals } from './budget-caps.ts';
import type { Total } from './ledger-entry.ts';
import type { TotalKeys } from './ledger-keys.ts';

/** The keys of the totals that there are. */
export function keysOf({ day, month, userDay }: TotalKeys): string[] {
  return userDay === null ? [day, month] : [day, month, userDay];
}

/** What the store holds under `keys`; nothing stored is nothing spent. */
export function readTotals(documents: Documents, { day, month, userDay }: TotalKeys): Totals {
  return {
    day: readTotal(documents, day),
    month: readTotal(documents, month),
    userDay: userDay === null ? null : readTotal(documents, userDay),
  };
}

export function readTotal(documents: Documents, key: string): Total {
  // `as`: only the ledger writes these documents.
  return (documents.get(key) as Total | undefined) ?? { reservedMicros: 0, spentMicros: 0 };
}
