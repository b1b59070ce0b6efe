import type { BatchStatus, BatchSummaryView, BatchView } from '../contract/index.ts';
import type { BatchSummary, ItemOutcome } from './batch-summary.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { microsToUsd } from '../billing/micros.ts';
import { toJobView, toTimestamp } from './job-view.ts';

/** Returns what a job adds to the totals of its batch. Pure. */
export function outcomeOf(job: JobRecord): ItemOutcome {
  const lipsync = job.kind === 'lipsync' ? job : undefined;
  const costs = lipsync?.attempts.map(({ costMicros }) => costMicros ?? 0) ?? [];
  return {
    status: job.status === 'queued' && job.startedAtMs !== null ? 'processing' : job.status,
    durationMs: lipsync?.result?.durationMs ?? 0,
    costMicros: costs.reduce((sum, costMicros) => sum + costMicros, 0),
  };
}

/** Returns the totals of a batch from the outcomes of its jobs. Pure. */
export function summarizeBatch(
  { spec }: { readonly spec: { readonly itemCount: number } },
  outcomes: readonly ItemOutcome[],
): BatchSummary {
  const count = (status: JobRecord['status']): number => outcomes.filter((outcome) => outcome.status === status).length;
  return {
    total: spec.itemCount,
    success: count('completed'),
    failed: count('failed'),
    canceled: count('canceled'),
    totalDurationMs: outcomes.reduce((sum, { durationMs }) => sum + durationMs, 0),
    totalCostMicros: outcomes.reduce((sum, { costMicros }) => sum + costMicros, 0),
  };
}

/** Returns whether every job of a batch has ended. Pure. */
export function isBatchSettled({ total, success, failed, canceled }: BatchSummary): boolean {
  return success + failed + canceled === total;
}

/** The jobs of a batch that exist, in the order of its items, and the outcomes of `JobStore.listOutcomes`. */
export interface BatchContent {
  readonly jobs: readonly JobRecord<'lipsync'>[];
  readonly outcomes: readonly ItemOutcome[];
}

/** Returns a batch as callers of the API see it; `nextCursor` leads to the jobs that `jobs` lacks. */
export function toBatchView(
  batch: JobRecord<'batch'>,
  { jobs, outcomes }: BatchContent,
  outputUrlOf: (jobId: string) => string,
  nextCursor: string | null = null,
): BatchView {
  const { id, status, ...rest } = toBatchSummaryView(batch, outcomes);
  const results = jobs.map((job) => ({
    item: job.batch?.item ?? 0,
    output_name: job.batch?.outputName ?? '',
    ...toJobView(job, outputUrlOf(job.id)),
  }));
  return { id, status, results, next_cursor: nextCursor, ...rest };
}

/** Returns a batch without its jobs. */
export function toBatchSummaryView(batch: JobRecord<'batch'>, outcomes: readonly ItemOutcome[]): BatchSummaryView {
  const summary = summarizeBatch(batch, outcomes);
  return {
    id: batch.id,
    status: batchStatusOf(batch, outcomes),
    summary: toSummaryView(summary),
    user_id: batch.spec.options.userId ?? null,
    metadata: { ...batch.spec.options.metadata },
    max_cost_usd: batch.spec.options.maxCostUsd ?? null,
    created_at: toTimestamp(batch.createdAtMs),
    completed_at: batch.completedAtMs === null ? null : toTimestamp(batch.completedAtMs),
  };
}

/** Returns the totals of a batch as callers see them. Pure. */
export function toSummaryView(summary: BatchSummary): BatchView['summary'] {
  return {
    total: summary.total,
    success: summary.success,
    failed: summary.failed,
    canceled: summary.canceled,
    total_duration: summary.totalDurationMs / 1000,
    total_cost_usd: microsToUsd(summary.totalCostMicros),
  };
}

/**
 * Returns the status of a batch. It is processed from the start of its first job to the end of its last one; failed jobs
 * do not fail it. Pure.
 */
export function batchStatusOf(batch: JobRecord<'batch'>, outcomes: readonly ItemOutcome[]): BatchStatus {
  if (isTerminal(batch.status)) return batch.status === 'canceled' ? 'canceled' : 'completed';
  if (batch.spec.isPaused && !batch.cancelRequested) return 'paused';
  return outcomes.some(({ status }) => status !== 'queued') ? 'processing' : 'queued';
}

/** Returns the list of the jobs in an archive of a batch; `names` are the files in the archive. Pure. */
export function toBatchManifest(
  { id, status, summary }: BatchSummaryView,
  jobs: readonly JobRecord<'lipsync'>[],
  names: ReadonlySet<string>,
): object {
  const results = jobs.map((job) => {
    const name = job.batch?.outputName ?? '';
    const { item } = job.batch ?? { item: 0 };
    return { item, id: job.id, status: job.status, file: names.has(name) ? name : null, error: job.error };
  });
  return { id, status, summary, results };
}
