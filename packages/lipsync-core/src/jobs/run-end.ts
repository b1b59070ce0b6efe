import type { LipsyncError } from '../errors/index.ts';
import type { JobEvent } from './job-events.ts';
import type { Attempt, JobRecord, JobResult } from './job-record.ts';
import type { PipelineResult } from './lipsync-pipeline.ts';

/** The result of a job whose take was published as `outputKey`. It cost what all of its attempts cost together. */
export function toJobResult({ methodUsed, degraded, durationMs }: PipelineResult, attempts: readonly Attempt[], outputKey: string): JobResult {
  const costMicros = attempts.reduce((sum, attempt) => sum + (attempt.costMicros ?? 0), 0);
  return { methodUsed, degraded, cached: false, durationMs, costMicros, outputKey };
}

/** How a run ends that did not make an output: canceled, or failed with the code and the words of the error. */
export function endWithoutOutput({ code, message }: LipsyncError, { runs }: JobRecord, atMs: number): JobEvent {
  if (code === 'canceled') return { type: 'canceled', atMs };
  return { type: 'failed', run: runs, atMs, code, message, warnings: [] };
}
