import { LipsyncError } from '../errors/index.ts';
import type { Clock } from '../contract/ports.ts';
import type { Change, Documents, Json, StateStore } from '../storage/state-store.ts';
import { checkCaps, listTotalKeys, readTotal, readTotals, type BudgetCaps, type Totals } from './budgets.ts';
import { listEntries, sumEntries, type CostQuery, type CostRow } from './cost-report.ts';
import {
  contributionOf,
  entryKey,
  totalKeys,
  type EntryReference,
  type LedgerEntry,
  type Payer,
  type TotalKeys,
} from './ledger-entry.ts';
import { toMicros, type Micros } from './micros.ts';

export interface Reservation extends EntryReference, Payer {
  readonly jobId: string;
  readonly provider: string;
  /** The highest possible cost of the attempt. */
  readonly micros: Micros;
}

export interface Settlement {
  /** May exceed the reserved amount. */
  readonly micros: Micros;
  readonly atMs: number;
  readonly note?: string;
}

export interface LedgerOptions {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly caps: BudgetCaps;
}

/**
 * The cost of attempts. Money is reserved before an attempt, then settled or released, each at most once, however often
 * and in whatever order the calls come. An entry goes from reserved to settled or released, and from released to
 * settled when a bill arrives late; only `reserveAgain` returns a released entry to reserved. All processes that share
 * the state store share the caps. Every method throws `resource_exhausted` when the state store is unavailable.
 */
export class Ledger {
  readonly #state: StateStore;
  readonly #clock: Clock;
  readonly #caps: BudgetCaps;

  constructor({ state, clock, caps }: LedgerOptions) {
    this.#state = state;
    this.#clock = clock;
    this.#caps = caps;
  }

  /** Returns the stored entry; an existing one stays as it is. Throws `budget_exceeded` and then reserves nothing. */
  reserve(reservation: Reservation): Promise<LedgerEntry> {
    const key = entryKey(reservation);
    const totals = totalKeys(reservation);
    return this.#state.transact([key, ...listTotalKeys(totals)], (documents) => {
      const existing = readEntry(documents, key);
      if (existing) return { result: existing };
      checkCaps(this.#caps, readTotals(documents, totals), reservation);
      return replaceEntry(documents, key, totals, newEntry(reservation));
    });
  }

  /**
   * Reserves the original amount of a released entry again, for an attempt that is resumed. Any other entry stays as it
   * is. Returns undefined when there is no entry. Throws `budget_exceeded`.
   */
  reserveAgain(reference: EntryReference): Promise<LedgerEntry | undefined> {
    return this.#changeEntry(reference, (entry, totals) => {
      if (entry.state !== 'released') return entry;
      checkCaps(this.#caps, totals, { ...entry, micros: entry.reservedMicros });
      return { ...entry, state: 'reserved', endedAtMs: null, note: null };
    });
  }

  /** Books what was spent and frees the rest, also for a released entry. Throws `internal` when there is no entry. */
  async settle(reference: EntryReference, { micros, atMs, note }: Settlement): Promise<LedgerEntry> {
    const entry = await this.#changeEntry(reference, (current) =>
      current.state === 'settled'
        ? current
        : { ...current, state: 'settled', spentMicros: micros, endedAtMs: atMs, note: note ?? current.note },
    );
    if (entry) return entry;
    throw new LipsyncError('internal', 'No reservation exists for this cost. Please report this error.');
  }

  /** Frees the reserved amount, because nothing was spent. Returns undefined when there is no entry. */
  release(reference: EntryReference, note?: string): Promise<LedgerEntry | undefined> {
    return this.#changeEntry(reference, (entry) =>
      entry.state === 'reserved'
        ? { ...entry, state: 'released', endedAtMs: this.#clock.nowMs(), note: note ?? entry.note }
        : entry,
    );
  }

  /** Costs by UTC day, provider, API key or user, ascending by key; entries without a user come first. */
  sum(query: CostQuery): Promise<readonly CostRow[]> {
    return sumEntries(listEntries(this.#state, query), query);
  }

  async #changeEntry(
    reference: EntryReference,
    change: (entry: LedgerEntry, totals: Totals) => LedgerEntry,
  ): Promise<LedgerEntry | undefined> {
    const key = entryKey(reference);
    // The totals depend on the user, which is part of the entry and never changes.
    const found = await this.#state.transact([key], (documents) => ({ result: readEntry(documents, key) }));
    if (!found) return undefined;
    const totals = totalKeys(found);
    return this.#state.transact([key, ...listTotalKeys(totals)], (documents): Change<LedgerEntry> => {
      const current = readEntry(documents, key) ?? found;
      const changed = change(current, readTotals(documents, totals));
      return changed === current ? { result: current } : replaceEntry(documents, key, totals, changed);
    });
  }
}

/** Stores an entry and updates its totals by the difference to the stored one. */
function replaceEntry(documents: Documents, key: string, totals: TotalKeys, entry: LedgerEntry): Change<LedgerEntry> {
  const before = contributionOf(readEntry(documents, key));
  const after = contributionOf(entry);
  const writes = new Map<string, Json>([[key, entry]]);
  for (const totalKey of listTotalKeys(totals)) {
    const total = readTotal(documents, totalKey);
    writes.set(totalKey, {
      reservedMicros: total.reservedMicros + after.reservedMicros - before.reservedMicros,
      spentMicros: total.spentMicros + after.spentMicros - before.spentMicros,
    });
  }
  return { result: entry, writes };
}

function newEntry({ id, jobId, provider, user, userId, batch, atMs, micros }: Reservation): LedgerEntry {
  return {
    id,
    jobId,
    provider,
    user,
    ...(userId !== undefined && { userId }),
    ...(batch && { batch }),
    atMs,
    state: 'reserved',
    reservedMicros: micros,
    spentMicros: toMicros(0),
    endedAtMs: null,
    note: null,
  };
}

function readEntry(documents: Documents, key: string): LedgerEntry | undefined {
  // `as`: only this class writes these documents.
  return documents.get(key) as LedgerEntry | undefined;
}
