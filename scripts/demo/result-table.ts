import Table from 'cli-table3';
import type { AttemptView, JobView } from '@lipsync/core/contract';
import type { WalletState } from '../../packages/heygen-standin/src/index.ts';
import { summarizeQuality } from '../../packages/lipsync-core/src/cli/describe-quality.ts';
import { framesPerSecond, type TakeFacts } from '../../packages/lipsync-core/src/media/index.ts';

export interface DemoResult {
  readonly job: JobView;
  /** Measured on the downloaded file. */
  readonly take: TakeFacts;
  readonly sizeBytes: number;
  /** From the upload to the complete download. */
  readonly elapsedMs: number;
}

/** Formats the result of a job as a terminal table. */
export function resultTable({ job, take, sizeBytes, elapsedMs }: DemoResult): string {
  return tableOf([
    ['status', job.status],
    ['method used', job.method_used ?? 'none'],
    ['degraded', job.degraded ? 'yes: made without a trained model' : 'no'],
    ['duration', job.duration === null ? 'not measured' : `${job.duration.toFixed(2)} s`],
    ['frames', `${take.frameCount} at ${framesPerSecond(take.frameRate).toFixed(2)} per second`],
    ['picture', `${take.width} × ${take.height}`],
    ['size', `${(sizeBytes / 1e6).toFixed(2)} MB`],
    ['cost', job.cost_usd === null ? 'not known' : usd(job.cost_usd)],
    ['time taken', `${(elapsedMs / 1000).toFixed(1)} s${job.cached ? ' (taken from the cache)' : ''}`],
    ['attempts', job.attempts.map(attemptLine).join('\n') || 'none'],
    ['quality', job.quality === null ? 'not measured' : summarizeQuality(job.quality)],
    ['warnings', job.warnings.map(({ message }) => message).join('\n') || 'none'],
  ]);
}

/** Formats the wallet of the stand-in. */
export function walletTable({ balanceMicros, charges }: WalletState): string {
  return tableOf([
    ['wallet', `${usd(balanceMicros / 1e6)} left at the stand-in`],
    [
      'charges',
      charges
        .map(({ amountMicros, durationMs, mode }) => `${usd(amountMicros / 1e6)} for ${durationMs} ms, ${mode}`)
        .join('\n') || 'none',
    ],
  ]);
}

function tableOf(rows: readonly (readonly [string, string])[]): string {
  const table = new Table({ style: { head: [], border: [] }, colWidths: [16, 62], wordWrap: true });
  for (const row of rows) table.push([...row]);
  return table.toString();
}

function attemptLine(attempt: AttemptView): string {
  const { provider, outcome, code, cost_usd: costUsd, operation_id: operationId, model_precision: precision } = attempt;
  const result = code === null ? outcome : `${outcome} (${code})`;
  return [
    `${provider}: ${result}`,
    ...(precision === null ? [] : [precision]),
    ...(costUsd === null ? [] : [usd(costUsd)]),
    ...(operationId === null ? [] : [`operation ${operationId}`]),
  ].join(', ');
}

/** With six decimals, the precision of the ledger. */
function usd(amount: number): string {
  return `$${amount.toFixed(6)}`;
}
