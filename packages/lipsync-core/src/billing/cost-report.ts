import { setImmediate as nextTurn } from 'node:timers/promises';
import type { StateStore } from '../storage/state-store.ts';
import { contributionOf, dayOf, entryDayPrefix, entryPrefix, type LedgerEntry } from './ledger-entry.ts';

/** Start times of attempts from `fromMs` up to, not including, `toMs`. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

export type CostGroup = 'day' | 'method' | 'key' | 'user';

export interface CostQuery extends TimeRange {
  readonly groupBy: CostGroup;
  /** Only the entries of this API key; those of all by default. */
  readonly owner?: string;
}

export interface CostRow {
  /** UTC day, provider, API key or user; null for entries without a user. */
  readonly key: string | null;
  /** The API key whose user this is; absent in other rows. */
  readonly owner?: string;
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

/**
 * Sums entries by day, provider, API key or user, ascending by key; entries without a user come first. Users with the
 * same name at two API keys are two users.
 */
export async function sumEntries(
  entries: AsyncIterable<LedgerEntry>,
  { groupBy, owner }: Pick<CostQuery, 'groupBy' | 'owner'>,
): Promise<readonly CostRow[]> {
  const groups = new Map<string, GroupKey & { jobIds: Set<string>; spentMicros: number; reservedMicros: number }>();
  for await (const entry of entries) {
    if (entry.state === 'released' || (owner !== undefined && entry.user !== owner)) continue;
    const key = groupKey(entry, groupBy);
    const name = JSON.stringify(key);
    const group = groups.get(name) ?? { ...key, jobIds: new Set<string>(), spentMicros: 0, reservedMicros: 0 };
    const { spentMicros, reservedMicros } = contributionOf(entry);
    group.jobIds.add(entry.jobId);
    group.spentMicros += spentMicros;
    group.reservedMicros += reservedMicros;
    groups.set(name, group);
  }
  return [...groups.values()]
    .map(({ jobIds, ...group }) => ({ ...group, jobs: jobIds.size }))
    .sort((one, other) => (sortText(one) < sortText(other) ? -1 : 1));
}

type GroupKey = Pick<CostRow, 'key' | 'owner'>;

function groupKey({ atMs, provider, user, userId }: LedgerEntry, groupBy: CostGroup): GroupKey {
  switch (groupBy) {
    case 'day':
      return { key: dayOf(atMs) };
    case 'method':
      return { key: provider };
    case 'key':
      return { key: user };
    case 'user':
      return userId === undefined ? { key: user } : { key: userId, ...(user !== null && { owner: user }) };
  }
}

function sortText({ key, owner }: GroupKey): string {
  return `${key ?? ''}\n${owner ?? ''}`;
}
