import type { Micros } from '../billing/micros.ts';
import type { JobStatus } from '../contract/index.ts';

/** Totals of a batch. */
export interface BatchSummary {
  readonly total: number;
  readonly success: number;
  readonly failed: number;
  readonly canceled: number;
  /** Of all outputs. */
  readonly totalDurationMs: number;
  /** Of all settled attempts. */
  readonly totalCostMicros: number;
}

/** What a job that has ended or started adds to the totals of its batch. Kept when the job is deleted. */
export interface ItemOutcome {
  /** `processing` also while a started job waits in a queue. */
  readonly status: JobStatus;
  readonly durationMs: number;
  readonly costMicros: number;
}

/** The place of a job in its batch. */
export interface BatchReference {
  readonly id: string;
  /** Index of the item, from 0. */
  readonly item: number;
  /** File name of the output in an archive of the batch. */
  readonly outputName: string;
  /** Cap on the cost of all jobs of the batch together; absent for none. */
  readonly capMicros?: Micros;
}
