import { createHash } from 'node:crypto';
import { LipsyncError } from '../errors/index.ts';

/** Keys of the ledger in the state store. Days and months are UTC. */

/** What the keys of all entries begin with. */
export const entryPrefix = 'ledger/entry/';
const endOfDaysMs = Date.UTC(10_000, 0, 1);

/** The UTC day of a time, as `2026-11-21`. Throws `request_invalid` for a time whose day would not sort as text. */
export function dayOf(atMs: number): string {
  if (!(atMs >= 0 && atMs < endOfDaysMs))
    throw new LipsyncError('request_invalid', 'A time in the ledger lies between the years 1970 and 9999.');
  return new Date(atMs).toISOString().slice(0, 10);
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
