import type { BatchView } from '../contract/index.ts';
import type { BatchSummary, ItemOutcome } from './batch-summary.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { toJobView, toUsd } from './job-view.ts';

/** Returns what a job adds to the totals of its batch. Pure. */
export function outcomeOf(job: JobRecord): ItemOutcome {
  const lipsync = job.kind === 'lipsync' ? job : undefined;
  const costs = lipsync?.attempts.map(({ costMicros }) => costMicros ?? 0) ?? [];
  return {
    status: job.status,
    durationMs: lipsync?.result?.durationMs ?? 0,
    costMicros: costs.reduce((sum, costMicros) => sum + costMicros, 0),
  };
}

/** Returns the totals of a batch. Jobs that have not ended count only as `total`. Pure. */
export function summarizeBatch({ spec }: JobRecord<'batch'>, ended: readonly ItemOutcome[]): BatchSummary {
  const count = (status: JobRecord['status']): number => ended.filter((outcome) => outcome.status === status).length;
  return {
    total: spec.itemCount,
    success: count('completed'),
    failed: count('failed'),
    canceled: count('canceled'),
    totalDurationMs: ended.reduce((sum, { durationMs }) => sum + durationMs, 0),
    totalCostMicros: ended.reduce((sum, { costMicros }) => sum + costMicros, 0),
  };
}

/** Returns whether every job of a batch has ended. Pure. */
export function isBatchSettled({ total, success, failed, canceled }: BatchSummary): boolean {
  return success + failed + canceled === total;
}

/** The jobs of a batch that exist, in the order of its items, and the outcomes of those that have ended. */
export interface BatchContent {
  readonly jobs: readonly JobRecord<'lipsync'>[];
  readonly outcomes: readonly ItemOutcome[];
}

/** Returns a batch as callers of the API see it. */
export function toBatchView(
  batch: JobRecord<'batch'>,
  { jobs, outcomes }: BatchContent,
  outputUrlOf: (jobId: string) => string,
): BatchView {
  const summary = summarizeBatch(batch, outcomes);
  return {
    id: batch.id,
    status: statusOf(batch, jobs),
    results: jobs.map((job) => ({
      item: job.batch?.item ?? 0,
      output_name: job.batch?.outputName ?? '',
      ...toJobView(job, outputUrlOf(job.id)),
    })),
    summary: {
      total: summary.total,
      success: summary.success,
      failed: summary.failed,
      canceled: summary.canceled,
      total_duration: summary.totalDurationMs / 1000,
      total_cost_usd: toUsd(summary.totalCostMicros),
    },
    metadata: { ...batch.spec.options.metadata },
    created_at: new Date(batch.createdAtMs).toISOString(),
    completed_at: batch.completedAtMs === null ? null : new Date(batch.completedAtMs).toISOString(),
  };
}

/** A batch is processed from the start of its first job to the end of its last one. Its failed jobs do not fail it. */
function statusOf(batch: JobRecord<'batch'>, jobs: readonly JobRecord<'lipsync'>[]): BatchView['status'] {
  if (isTerminal(batch.status)) return batch.status === 'canceled' ? 'canceled' : 'completed';
  return jobs.some(({ status }) => status !== 'queued') ? 'processing' : 'queued';
}
