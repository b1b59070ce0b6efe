import type { JobStatus } from '../contract/index.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord } from './job-record.ts';

export interface JobPageQuery {
  readonly status?: JobStatus;
  /** 1–100. */
  readonly limit: number;
  /** As returned by the page before; opaque. */
  readonly cursor?: string;
}

export interface JobPage {
  /** Newest first. */
  readonly records: readonly JobRecord[];
  readonly nextCursor: string | null;
}

/** Keeps job records. A port; every driver passes the same suite. */
export interface JobStore {
  /** Stores a new record. Throws `internal` when the id is taken. */
  create(record: JobRecord): Promise<void>;
  get(id: string): Promise<JobRecord | undefined>;
  /**
   * Applies an event to the stored record without losing a concurrent one, and returns the record as it now stands.
   * Throws `not_found` when there is no such job.
   */
  append(id: string, event: JobEvent): Promise<JobRecord>;
  list(query: JobPageQuery): Promise<JobPage>;
  /** Ids of all jobs that are not at an end, oldest first. */
  unfinished(): Promise<readonly string[]>;
}
