import type { JobStatus } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import type { JobEvent } from './job-events.ts';
import type { JobFilter } from './job-filter.ts';
import { countRetries } from './job-retry.ts';
import type { ItemOutcome } from './batch-summary.ts';
import { isTerminal, type JobKind, type JobRecord } from './job-record.ts';

export interface JobPageQuery<Kind extends JobKind = JobKind> extends JobFilter {
  readonly kind: Kind;
  /** 1 to `maxPageSize`. */
  readonly limit: number;
  /** `nextCursor` of the page before; opaque. */
  readonly cursor?: string;
}

export interface JobPage<Kind extends JobKind = JobKind> {
  /** Newest first. */
  readonly records: readonly JobRecord<Kind>[];
  /** Number of stored records of this page that could not be read and are left out. */
  readonly unreadable: number;
  readonly nextCursor: string | null;
}

/** The end of a job, for consumers that act on it after the fact. */
export interface OutboxEvent {
  readonly jobId: string;
  readonly kind: JobKind;
  readonly status: JobStatus;
  readonly atMs: number;
  /** Number of retries before this end, so that each end of a job is an event of its own. */
  readonly retries: number;
  /** The batch of the job; absent for a single job. */
  readonly batchId?: string;
}

export interface OutboxEntry extends OutboxEvent {
  /** Assigned by the store; opaque. */
  readonly id: string;
}

/** Called with each record that a list had to leave out. */
export type UnreadableRecordListener = (id: string, error: LipsyncError) => void;

/**
 * Stores job records. A port: every driver passes `jobStoreSuite`. A record of an older format is migrated when it is
 * read and stored in the current format with its next change. `get` and `append` throw `internal` for a record that
 * cannot be read.
 */
export interface JobStore {
  /** Stores a new record. Throws `internal` if the id is taken. */
  create(record: JobRecord): Promise<void>;
  get(id: string): Promise<JobRecord | undefined>;
  /**
   * Applies an event with compare-and-set and returns the record as it is then. The outbox event of the change, if any,
   * is stored in the same atomic step. Throws `not_found` if there is no such job, and
   * `conflict` for the retry of a job that is being erased.
   */
  append(id: string, event: JobEvent): Promise<JobRecord>;
  /**
   * Returns a page of the jobs that match. A store reads a bounded number of records for a page, so that one with filters
   * may be short, or empty, although its `nextCursor` leads to further matches.
   */
  list<Kind extends JobKind>(query: JobPageQuery<Kind>): Promise<JobPage<Kind>>;
  /** Returns the ids of all jobs that have not ended, oldest first. */
  unfinished(): Promise<readonly string[]>;
  /**
   * Returns the outcomes of the jobs of a batch by job id: of all that have ended, also of deleted ones, and of those
   * that have started. Stored in the same atomic step that changes a job.
   */
  listOutcomes(batchId: string): Promise<ReadonlyMap<string, ItemOutcome>>;
  /** Returns up to `limit` entries of the outbox, oldest first, of those after the entry `after` if it is given. */
  readOutbox(limit: number, after?: string): Promise<readonly OutboxEntry[]>;
  /** Removes entries from the outbox; unknown ids are ignored. */
  ackOutbox(ids: readonly string[]): Promise<void>;
}

/** Yields all pages of the jobs that match, newest first. */
export async function* listPages<Kind extends JobKind>(
  store: Pick<JobStore, 'list'>,
  query: JobPageQuery<Kind>,
): AsyncGenerator<JobPage<Kind>, void> {
  for (let position: Pick<JobPageQuery, 'cursor'> = query; ;) {
    const page = await store.list({ ...query, ...position });
    yield page;
    if (page.nextCursor === null) return;
    position = { cursor: page.nextCursor };
  }
}

const maxPageSize = 100;

/** Throws `request_invalid` unless `limit` is a valid page size. */
export function checkPageSize(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxPageSize) return;
  throw new LipsyncError('request_invalid', `limit: must be a whole number from 1 to ${maxPageSize}`);
}

/** A cursor that no store returned. */
export class InvalidCursorError extends LipsyncError {
  constructor() {
    super('request_invalid', 'cursor was not returned by this service; start again without it');
    this.name = 'InvalidCursorError';
  }
}

/** Returns the outbox event of a change: one when a job ends that may have a receiver, else null. Pure. */
export function outboxEventFor(before: JobRecord, after: JobRecord): OutboxEvent | null {
  if (after.kind === 'webhook' || isTerminal(before.status) || !isTerminal(after.status)) return null;
  const { id: jobId, kind, status, completedAtMs, batch } = after;
  const atMs = completedAtMs ?? after.createdAtMs;
  return { jobId, kind, status, atMs, retries: countRetries(after), ...(batch && { batchId: batch.id }) };
}
