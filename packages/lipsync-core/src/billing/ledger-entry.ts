import { createHash } from 'node:crypto';
import { LipsyncError } from '../errors/index.ts';
import type { Micros } from './micros.ts';

/** Ledger documents and their keys in the state store. Days and months are UTC. */

/** Who pays for an attempt. */
export type Payer = {
  /** Name of the API key, else the `user_id` of the request, else null. */
  readonly user: string | null;
  /** The `user_id` of a request with an API key; absent in entries of earlier versions. */
  readonly userId?: string;
  /** The batch of the attempt if all of its attempts together have a cap. */
  readonly batch?: CappedBatch;
};

/** A batch whose attempts together have a cap. */
export type CappedBatch = {
  readonly id: string;
  readonly capMicros: Micros;
};

/** Returns who pays for a request: a `user_id` counts within the API key that sends it. Pure. */
export function payerOf(owner: string | null, userId: string | undefined, batch?: CappedBatch): Payer {
  const ofBatch = batch && { batch };
  if (owner === null) return { user: userId ?? null, ...ofBatch };
  return { user: owner, ...(userId !== undefined && { userId }), ...ofBatch };
}

/** The money of one attempt. A type alias, because an interface is not assignable to `Json`. */
export type LedgerEntry = Payer & {
  /** Digest of the user whose budget the entry counts towards; present once a pseudonym has replaced the user. */
  readonly userDigest?: string;
  /** Derived from job and attempt. */
  readonly id: string;
  readonly jobId: string;
  readonly provider: string;
  /** Recorded start of the attempt; the amount counts towards this UTC day and month. */
  readonly atMs: number;
  readonly state: 'reserved' | 'settled' | 'released';
  /** Reserved when the attempt began. */
  readonly reservedMicros: Micros;
  /** Zero until the entry is settled. */
  readonly spentMicros: Micros;
  /** When it was settled or released. */
  readonly endedAtMs: number | null;
  readonly note: string | null;
};

/** Identifies an entry: its id, and the recorded start of its attempt, which determines the day. */
export interface EntryReference {
  readonly id: string;
  readonly atMs: number;
}

/** Returns the reference of an attempt of a job. Pure. */
export function attemptEntry(jobId: string, index: number, startedAtMs: number): EntryReference {
  return { id: `${jobId}-${index}`, atMs: startedAtMs };
}

/** Money of a day, a month, a user's day, or a batch. */
export type Total = {
  /** Reserved by attempts that have not ended. */
  readonly reservedMicros: number;
  readonly spentMicros: number;
};

/** What an entry contributes to its totals. Pure. */
export function contributionOf(entry: LedgerEntry | undefined): Total {
  return {
    reservedMicros: entry?.state === 'reserved' ? entry.reservedMicros : 0,
    spentMicros: entry?.spentMicros ?? 0,
  };
}

export const entryPrefix = 'ledger/entry/';
const endOfDaysMs = Date.UTC(10_000, 0, 1);

/** The UTC day of a time, as `2026-11-21`. Throws `request_invalid` outside the years 1970 to 9999. */
export function dayOf(atMs: number): string {
  if (!(atMs >= 0 && atMs < endOfDaysMs))
    throw new LipsyncError('request_invalid', 'A ledger time must lie between the years 1970 and 9999.');
  return new Date(atMs).toISOString().slice(0, 10);
}

/** Entries are grouped by day, so that a report reads adjacent keys. */
export function entryKey({ id, atMs }: EntryReference): string {
  return `${entryDayPrefix(dayOf(atMs))}${id}`;
}

export function entryDayPrefix(day: string): string {
  return `${entryPrefix}${day}/`;
}

/** Keys of the totals to which an entry contributes. */
export interface TotalKeys {
  readonly day: string;
  readonly month: string;
  /** Null for an entry without a user. */
  readonly userDay: string | null;
  /** Null for an entry without a capped batch. */
  readonly batch: string | null;
}

export function totalKeys({ atMs, ...payer }: Payer & Pick<LedgerEntry, 'atMs' | 'userDigest'>): TotalKeys {
  const day = dayOf(atMs);
  const digest = userDigestOf(payer);
  return {
    day: `ledger/day/${day}`,
    month: `ledger/month/${day.slice(0, 7)}`,
    userDay: digest === null ? null : `ledger/user/${day}/${digest}`,
    batch: payer.batch ? `ledger/batch/${payer.batch.id}` : null,
  };
}

/** Identifies a user in keys; null without one. Names may contain characters that keys may not, but no line breaks. */
export function userDigestOf({ user, userId, userDigest }: Payer & Pick<LedgerEntry, 'userDigest'>): string | null {
  if (userDigest !== undefined) return userDigest;
  if (user === null) return null;
  const text = userId === undefined ? user : `${user}\n${userId}`;
  return createHash('sha256').update(text).digest('base64url');
}
