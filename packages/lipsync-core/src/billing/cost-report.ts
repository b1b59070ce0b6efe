import { setImmediate as nextTurn } from 'node:timers/promises';
import type { StateStore } from '../storage/state-store.ts';
import { contributionOf, dayOf, entryDayPrefix, entryPrefix, type LedgerEntry } from './ledger-entry.ts';

/** Start times of attempts from `fromMs` up to, not including, `toMs`. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

export type CostGroup = 'day' | 'method' | 'user';

export interface CostQuery extends TimeRange {
  readonly groupBy: CostGroup;
  /** Only the entries of this user; those of all users by default. */
  readonly user?: string;
}

export interface CostRow {
  /** UTC day, provider or user; null for entries without a user. */
  readonly key: string | null;
  /** Number of jobs with at least one entry that is not released. */
  readonly jobs: number;
  readonly spentMicros: number;
  readonly reservedMicros: number;
}

const pageSize = 500;

/** The entries of a range, ordered by day and id. */
export async function* listEntries(state: StateStore, { fromMs, toMs }: TimeRange): AsyncGenerator<LedgerEntry> {
  if (fromMs >= toMs) return;
  const lastDay = entryDayPrefix(dayOf(toMs - 1));
  let after = entryDayPrefix(dayOf(fromMs));
  for (;;) {
    const page = await state.list(entryPrefix, { after, limit: pageSize });
    for (const { key, document } of page) {
      if (key > lastDay && !key.startsWith(lastDay)) return;
      // `as`: only the ledger writes documents under this prefix.
      const entry = document as LedgerEntry;
      if (entry.atMs >= fromMs && entry.atMs < toMs) yield entry;
    }
    const last = page.at(-1);
    if (!last || page.length < pageSize) return;
    after = last.key;
    // A synchronous driver would otherwise block the event loop for the whole report.
    await nextTurn();
  }
}

/** Sums entries by day, provider or user, ascending by key; entries without a user come first. */
export async function sumEntries(
  entries: AsyncIterable<LedgerEntry>,
  { groupBy, user }: Pick<CostQuery, 'groupBy' | 'user'>,
): Promise<readonly CostRow[]> {
  const groups = new Map<
    string | null,
    { readonly jobIds: Set<string>; spentMicros: number; reservedMicros: number }
  >();
  for await (const entry of entries) {
    if (entry.state === 'released' || (user !== undefined && entry.user !== user)) continue;
    const key = groupKey(entry, groupBy);
    const group = groups.get(key) ?? { jobIds: new Set<string>(), spentMicros: 0, reservedMicros: 0 };
    const { spentMicros, reservedMicros } = contributionOf(entry);
    group.jobIds.add(entry.jobId);
    group.spentMicros += spentMicros;
    group.reservedMicros += reservedMicros;
    groups.set(key, group);
  }
  return [...groups]
    .map(([key, { jobIds, spentMicros, reservedMicros }]) => ({ key, jobs: jobIds.size, spentMicros, reservedMicros }))
    .sort((one, other) => ((one.key ?? '') < (other.key ?? '') ? -1 : 1));
}

function groupKey({ atMs, provider, user }: LedgerEntry, groupBy: CostGroup): string | null {
  switch (groupBy) {
    case 'day':
      return dayOf(atMs);
    case 'method':
      return provider;
    case 'user':
      return user;
  }
}
