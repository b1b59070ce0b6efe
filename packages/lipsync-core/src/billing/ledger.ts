import { LipsyncError } from '../errors/index.ts';
import type { Clock } from '../contract/ports.ts';
import type { Change, Documents, Json, StateStore } from '../storage/state-store.ts';
import { checkCaps, type BudgetCaps, type Totals } from './budget-caps.ts';
import { shareOf, type LedgerEntry } from './ledger-entry.ts';
import { entryKey, totalKeys, type TotalKeys } from './ledger-keys.ts';
import { listEntries, sumEntries, type CostQuery, type CostRow } from './cost-sums.ts';
import { keysOf, readTotal, readTotals } from './stored-totals.ts';

/** Names an entry: its id, and the recorded start of its attempt, which tells the day. */
export interface EntryReference {
  readonly id: string;
  readonly atMs: number;
}

export interface Reservation extends EntryReference {
  readonly jobId: string;
  readonly provider: string;
  readonly user: string | null;
  /** The most that the attempt may cost, in whole millionths of a dollar. */
  readonly micros: number;
}

export interface Settlement {
  /** What was spent, in whole millionths of a dollar; may be more than was reserved. */
  readonly micros: number;
  readonly atMs: number;
  readonly note?: string;
}

/**
 * What attempts cost. Money is held back before an attempt and spent or given back after it, once each, however often
 * and in whatever order the calls come: the entry of an attempt goes from reserved to settled or released, and from
 * released to settled; back only where an attempt that had been ended is gone on with. All processes that share the state store share the caps. An entry counts to the UTC
 * day on which its attempt began. Throws what the state store throws.
 */
export interface Ledger {
  /**
   * Holds back what an attempt may cost, and returns the entry as it stands, which a second call leaves alone. Throws
   * `budget_exceeded`, with `details.cap` naming the cap, and holds nothing back then.
   */
  reserve(reservation: Reservation): Promise<LedgerEntry>;
  /**
   * Holds back again what was given back, as much as before, for an attempt that is gone on with; leaves an entry alone
   * that is not released. Returns undefined when nothing was ever reserved. Throws as `reserve`.
   */
  reserveAgain(reference: EntryReference): Promise<LedgerEntry | undefined>;
  /**
   * Books what was spent and gives the rest back; also when the entry was released before and the bill came late.
   * Throws `internal` when nothing was reserved under that reference.
   */
  settle(reference: EntryReference, settlement: Settlement): Promise<LedgerEntry>;
  /** Gives back what is held, because nothing was spent. Returns undefined when nothing was ever reserved. */
  release(reference: EntryReference, note?: string): Promise<LedgerEntry | undefined>;
  /** Costs by UTC day, method (a provider) or user, ascending by key, no user first. */
  sum(query: CostQuery): Promise<readonly CostRow[]>;
}

export interface LedgerDependencies {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly caps: BudgetCaps;
}

export function createLedger({ state, clock, caps }: LedgerDependencies): Ledger {
  return {
    reserve: (reservation) => reserve(state, caps, reservation),
    reserveAgain: (reference) =>
      changeEntry(state, reference, (current, totals) => {
        if (current.state !== 'released') return current;
        checkCaps(caps, totals, current.reservedMicros);
        return { ...current, state: 'reserved', endedAtMs: null, note: null };
      }),
    async settle(reference, { micros, atMs, note }) {
      checkMicros(micros);
      const entry = await changeEntry(state, reference, (current) =>
        current.state === 'settled'
          ? current
          : { ...current, state: 'settled', spentMicros: micros, endedAtMs: atMs, note: note ?? current.note },
      );
      if (!entry)
        throw new LipsyncError('internal', 'A cost was to be booked that nothing was reserved for. Report this.');
      return entry;
    },
    release: (reference, note) =>
      changeEntry(state, reference, (current) =>
        current.state === 'reserved'
          ? { ...current, state: 'released', endedAtMs: clock.nowMs(), note: note ?? current.note }
          : current,
      ),
    sum: (query) => sumEntries(listEntries(state, query), query.groupBy),
  };
}

async function reserve(state: StateStore, caps: BudgetCaps, reservation: Reservation): Promise<LedgerEntry> {
  checkMicros(reservation.micros);
  const key = entryKey(reservation);
  const totals = totalKeys(reservation);
  return state.transact([key, ...keysOf(totals)], (documents) => {
    const existing = readEntry(documents, key);
    if (existing) return { result: existing };
    checkCaps(caps, readTotals(documents, totals), reservation.micros);
    return replaceEntry(documents, key, totals, newEntry(reservation));
  });
}

async function changeEntry(
  state: StateStore,
  reference: EntryReference,
  next: (entry: LedgerEntry, totals: Totals) => LedgerEntry,
): Promise<LedgerEntry | undefined> {
  const key = entryKey(reference);
  // Read first, because the user, who never changes, tells which totals belong to the entry.
  const found = await state.transact([key], (documents) => ({ result: readEntry(documents, key) }));
  if (!found) return undefined;
  const totals = totalKeys(found);
  return state.transact([key, ...keysOf(totals)], (documents): Change<LedgerEntry> => {
    const current = readEntry(documents, key) ?? found;
    const changed = next(current, readTotals(documents, totals));
    return changed === current ? { result: current } : replaceEntry(documents, key, totals, changed);
  });
}

/** Stores an entry and moves its totals by what it adds now and did not add before. */
function replaceEntry(documents: Documents, key: string, totals: TotalKeys, entry: LedgerEntry): Change<LedgerEntry> {
  const before = shareOf(readEntry(documents, key));
  const after = shareOf(entry);
  const writes = new Map<string, Json>([[key, entry]]);
  for (const totalKey of keysOf(totals)) {
    const total = readTotal(documents, totalKey);
    writes.set(totalKey, {
      reservedMicros: total.reservedMicros + after.reservedMicros - before.reservedMicros,
      spentMicros: total.spentMicros + after.spentMicros - before.spentMicros,
    });
  }
  return { result: entry, writes };
}

function newEntry({ id, jobId, provider, user, atMs, micros }: Reservation): LedgerEntry {
  return {
    id,
    jobId,
    provider,
    user,
    atMs,
    state: 'reserved',
    reservedMicros: micros,
    spentMicros: 0,
    endedAtMs: null,
    note: null,
  };
}

function checkMicros(micros: number): void {
  if (Number.isSafeInteger(micros) && micros >= 0) return;
  throw new LipsyncError('internal', 'Money is a whole number of millionths of a dollar, and not negative.');
}

function readEntry(documents: Documents, key: string): LedgerEntry | undefined {
  // `as`: only this file writes these documents.
  return documents.get(key) as LedgerEntry | undefined;
}
