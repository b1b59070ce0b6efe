import type { AttemptView, JobView } from '../contract/index.ts';
import { errorPolicies } from '../errors/index.ts';
import type { Attempt, JobRecord } from './job-record.ts';

/** The job as callers see it. `outputUrl` is null until there is an output. */
export function toJobView(record: JobRecord, outputUrl: string | null): JobView {
  const { result } = record;
  return {
    id: record.id,
    status: record.status,
    stage: record.stage,
    progress: record.progress,
    message: record.message,
    method: record.options.method,
    plan: record.plan && [...record.plan],
    method_used: result?.methodUsed ?? null,
    degraded: result?.degraded ?? false,
    cached: result?.cached ?? false,
    duration: result ? result.durationMs / 1000 : null,
    cost_usd: result ? toUsd(result.costMicros) : null,
    output_url: result ? outputUrl : null,
    quality: null,
    attempts: record.attempts.map(toAttemptView),
    warnings: record.warnings.map(({ code, message }) => ({ code, message })),
    error: record.error && { ...record.error, retryable: errorPolicies[record.error.code].retryable },
    metadata: { ...record.options.metadata },
    created_at: toTimestamp(record.createdAtMs),
    started_at: record.startedAtMs === null ? null : toTimestamp(record.startedAtMs),
    completed_at: record.completedAtMs === null ? null : toTimestamp(record.completedAtMs),
  };
}

function toAttemptView(attempt: Attempt): AttemptView {
  return {
    provider: attempt.provider,
    outcome: attempt.outcome,
    code: attempt.code,
    message: attempt.message,
    started_at: toTimestamp(attempt.startedAtMs),
    ended_at: attempt.endedAtMs === null ? null : toTimestamp(attempt.endedAtMs),
    cost_usd: attempt.costMicros === null ? null : toUsd(attempt.costMicros),
    operation_id: attempt.operation?.id ?? null,
  };
}

/** Dollars from integer millionths. */
export function toUsd(micros: number): number {
  return micros / 1_000_000;
}

function toTimestamp(ms: number): string {
  return new Date(ms).toISOString();
}
