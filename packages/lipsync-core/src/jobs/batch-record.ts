import type { CappedBatch } from '../billing/ledger-entry.ts';
import { usdToMicros } from '../billing/micros.ts';
import { LipsyncError } from '../errors/index.ts';
import {
  newEnvelope,
  newJobRecord,
  undecidedStart,
  type BatchSpec,
  type JobRecord,
  type NewEnvelope,
} from './job-record.ts';

/** Values of a new batch. */
export interface NewBatch extends Omit<BatchSpec, 'itemCount'>, Omit<NewEnvelope, 'deadlineMs' | 'needs'> {}

/** Returns the record of a batch that was just accepted. Pure. */
export function newBatchRecord({ options, items, ...rest }: NewBatch): JobRecord<'batch'> {
  const spec = { options, itemCount: items.length, items };
  return { ...newEnvelope({ ...rest, needs: null }), kind: 'batch', spec, result: null };
}

/** Returns the id of the job of an item; the same one at each call, so that an item is never queued as two jobs. */
export function batchItemId(batchId: string, item: number): string {
  return `${batchId}-${String(item + 1).padStart(4, '0')}`;
}

/** Returns the id of the batch of a job by the id of the job; undefined for a single job. */
export function batchIdOf(jobId: string): string | undefined {
  return /^(batch_.+)-\d{4}$/.exec(jobId)?.[1];
}

/** Returns the record of the job of an item as it was when the batch was accepted. Pure. */
export function newBatchItemRecord(batch: JobRecord<'batch'>, index: number): JobRecord<'lipsync'> {
  const item = batch.spec.items[index];
  if (!item) throw new LipsyncError('internal', `The batch ${batch.id} has no item ${index}.`);
  const { options, video, audio, outputName } = item;
  const { owner, createdAtMs: nowMs, traceparent, requestId, cancelRequested } = batch;
  const id = batchItemId(batch.id, index);
  const job = newJobRecord({ id, options, video, audio, owner, nowMs, traceparent, requestId, start: undecidedStart });
  const { maxCostUsd } = batch.spec.options;
  const cap = maxCostUsd === undefined ? undefined : { capMicros: usdToMicros(maxCostUsd) };
  return { ...job, batch: { id: batch.id, item: index, outputName, ...cap }, cancelRequested };
}

/** Returns the batch of a job if all jobs of the batch together have a cap. Pure. */
export function cappedBatchOf({ batch }: JobRecord): CappedBatch | undefined {
  return batch?.capMicros === undefined ? undefined : { id: batch.id, capMicros: batch.capMicros };
}
