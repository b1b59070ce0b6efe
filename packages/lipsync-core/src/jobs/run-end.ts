import type { LipsyncError } from '../errors/index.ts';
import type { JobEvent } from './job-events.ts';
import type { JobRecord, LipsyncResult } from './job-record.ts';
import type { PipelineResult } from './lipsync-pipeline.ts';

/** The result of a job whose take was published as `outputKey`. What it cost is for its attempts to say. */
export function toJobResult({ methodUsed, degraded, durationMs }: PipelineResult, outputKey: string): LipsyncResult {
  return { methodUsed, degraded, cached: false, durationMs, outputKey };
}

/** How a run ends that did not make an output: canceled, or failed with the code and the words of the error. */
export function endWithoutOutput({ code, message }: LipsyncError, { runs }: JobRecord, atMs: number): JobEvent {
  if (code === 'canceled') return { type: 'canceled', atMs };
  return { type: 'failed', run: runs, atMs, code, message, warnings: [] };
}
