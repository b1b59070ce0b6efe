import type { JobStatus, QualityView } from '../contract/index.ts';
import { writeLine, type Terminal } from './terminal.ts';

/** An item of a batch that has ended, as `--json` prints it. */
export interface BatchResult {
  readonly item: number;
  /** At a service; absent on this machine. */
  readonly job_id?: string;
  readonly output_name: string;
  readonly status: Extract<JobStatus, 'completed' | 'failed' | 'canceled'>;
  readonly output_path: string | null;
  readonly method_used: string | null;
  readonly degraded: boolean;
  /** Seconds; null without an output. */
  readonly duration: number | null;
  readonly cost_usd: number | null;
  readonly quality: QualityView | null;
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
  /** An earlier run of the same command completed it. */
  readonly from_earlier_run: boolean;
}

export interface BatchReport {
  /** Null on this machine. */
  readonly batchId: string | null;
  readonly summary: {
    readonly total: number;
    readonly success: number;
    readonly failed: number;
    readonly canceled: number;
    readonly total_duration: number;
    readonly total_cost_usd: number;
  };
  readonly results: readonly BatchResult[];
}

/** Prints the outcome: paths of the outputs on stdout, or one line of JSON. */
export function printReport(
  { batchId, summary, results }: BatchReport,
  lineOf: (item: number) => number | null,
  { stdout, stderr, isJson }: Terminal & { readonly isJson: boolean },
): void {
  if (isJson) {
    const listed = results.map((result) => ({ line: lineOf(result.item), ...result }));
    const batch = batchId === null ? {} : { batch_id: batchId };
    return writeLine(stdout, JSON.stringify({ ...batch, summary, results: listed }));
  }
  const { total, success, failed, canceled, total_duration: duration, total_cost_usd: cost } = summary;
  writeLine(stderr, `${success} of ${total} complete, ${failed} failed, ${canceled} canceled.`);
  writeLine(stderr, `${duration.toFixed(1)} s of video, $${cost.toFixed(4)}.`);
  for (const { output_path: path } of results) if (path !== null) writeLine(stdout, path);
}
