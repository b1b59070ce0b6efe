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

/** What the end of a job adds to the totals of its batch. Kept when the job is deleted. */
export interface ItemOutcome {
  readonly status: JobStatus;
  readonly durationMs: number;
  readonly costMicros: number;
}
