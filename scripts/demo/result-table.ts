import Table from 'cli-table3';
import type { JobView } from '@lipsync/core/contract';
import { framesPerSecond, type TakeFacts } from '../../packages/lipsync-core/src/media/index.ts';

export interface DemoResult {
  readonly job: JobView;
  /** Measured on the downloaded file. */
  readonly take: TakeFacts;
  readonly sizeBytes: number;
  /** From sending the files to having the output. */
  readonly elapsedMs: number;
}

/** What came of the job, as a table for a terminal; what was not measured says so. */
export function resultTable({ job, take, sizeBytes, elapsedMs }: DemoResult): string {
  const table = new Table({ style: { head: [], border: [] }, colWidths: [16, 62], wordWrap: true });
  const rows: readonly (readonly [string, string])[] = [
    ['status', job.status],
    ['method used', job.method_used ?? 'none'],
    ['degraded', job.degraded ? 'yes: made without a trained engine' : 'no'],
    ['duration', job.duration === null ? 'not measured' : `${job.duration.toFixed(2)} s`],
    ['frames', `${take.frameCount} at ${framesPerSecond(take.frameRate).toFixed(2)} per second`],
    ['picture', `${take.width} × ${take.height}`],
    ['size', `${(sizeBytes / 1e6).toFixed(2)} MB`],
    ['cost', job.cost_usd === null ? 'not known' : `$${job.cost_usd.toFixed(2)}`],
    ['time taken', `${(elapsedMs / 1000).toFixed(1)} s${job.cached ? ' (finished before, taken from the cache)' : ''}`],
    ['attempts', job.attempts.map(({ provider, outcome }) => `${provider}: ${outcome}`).join('\n') || 'none'],
    ['warnings', job.warnings.map(({ message }) => message).join('\n') || 'none'],
  ];
  for (const row of rows) table.push([...row]);
  return table.toString();
}
