/** What was reserved, spent or given back for one attempt of one job; a type alias, because it is stored as JSON. */
export type LedgerEntry = {
  /** Derived from job and attempt. */
  readonly id: string;
  readonly jobId: string;
  readonly provider: string;
  /** Name of the key that the job came with, else its user id; null where there is neither. */
  readonly user: string | null;
  /** Recorded start of the attempt; its UTC day is the day that pays. */
  readonly atMs: number;
  readonly state: 'reserved' | 'settled' | 'released';
  /** What was held back when the attempt began, in millionths of a dollar. */
  readonly reservedMicros: number;
  /** What was spent, once settled, in millionths of a dollar. */
  readonly spentMicros: number;
  /** When it was settled or released. */
  readonly endedAtMs: number | null;
  readonly note: string | null;
};

/** Money of a day, month or user; a type alias, because it is stored as JSON. */
export type Total = {
  /** Held back by attempts that still run. */
  readonly reservedMicros: number;
  readonly spentMicros: number;
};

/** What an entry adds to the totals that it belongs to. */
export function shareOf(entry: LedgerEntry | undefined): Total {
  return {
    reservedMicros: entry?.state === 'reserved' ? entry.reservedMicros : 0,
    spentMicros: entry?.spentMicros ?? 0,
  };
}
