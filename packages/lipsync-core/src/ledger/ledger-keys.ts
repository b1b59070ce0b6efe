import { createHash } from 'node:crypto';

/** Keys of the ledger in the state store. Days and months are UTC. */

/** What the keys of all entries begin with. */
export const entryPrefix = 'ledger/entry/';
const dayPattern = /^\d{4}-\d{2}-\d{2}$/;

/** The UTC day of a time, as `2026-11-21`. */
export function dayOf(atMs: number): string {
  const day = new Date(atMs).toISOString().slice(0, 10);
  // A year beyond 9999 would not sort as text.
  if (!dayPattern.test(day)) throw new RangeError(`no such day: ${atMs}`);
  return day;
}

/** Where an entry is kept: under its day, so that the days of a report lie side by side. */
export function entryKey({ id, atMs }: { readonly id: string; readonly atMs: number }): string {
  return `${entryDayPrefix(dayOf(atMs))}${id}`;
}

/** What the keys of all entries of a day begin with. */
export function entryDayPrefix(day: string): string {
  return `${entryPrefix}${day}/`;
}

export interface TotalKeys {
  readonly day: string;
  readonly month: string;
  /** The user's day; null where the entry has no user. */
  readonly userDay: string | null;
}

/** The totals that an entry counts towards. */
export function totalKeys({ atMs, user }: { readonly atMs: number; readonly user: string | null }): TotalKeys {
  const day = dayOf(atMs);
  return {
    day: `ledger/day/${day}`,
    month: `ledger/month/${day.slice(0, 7)}`,
    userDay: user === null ? null : `ledger/user/${day}/${digest(user)}`,
  };
}

/** A user may be called anything, a key may not. */
function digest(user: string): string {
  return createHash('sha256').update(user).digest('base64url');
}
