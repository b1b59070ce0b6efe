import { z } from 'zod';
import { isOfKind, maxBatchItems, requireKind, type JobRecord } from '@lipsync/core/host';
import type { BatchView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { pageFields, parseQuery } from '../http/parse-query.ts';
import { urlBatchSchema } from '../reference/batch-documentation.ts';
import { acceptUrlBatch, cancelBatch, viewBatch } from '../routes/batches.ts';
import { findJob, unknownJob } from '../routes/job-resource.ts';
import { lipsyncResource } from '../routes/lipsync-resource.ts';
import { idempotencyKey, readIdempotency, type Tool, type ToolCall } from './tools.ts';

/** Jobs that a model reads at once. */
const page = pageFields('jobs', { maximum: maxBatchItems, fallback: 20 });
const batchId = { id: z.string().describe('Id of the batch.') };
const idQuery = z.strictObject(batchId);
const statusQuery = z.strictObject({ ...batchId, ...page });

/** The tools for batches of lip-sync jobs. */
export function createBatchTools(dependencies: ApiDependencies): readonly Tool[] {
  const { rules } = lipsyncResource(dependencies);
  return [
    {
      name: 'batch',
      title: 'Make many lip-sync videos',
      description:
        'Starts up to 500 lip-sync jobs with one call and returns the batch at once, with its first jobs. It may cost money: limit the ' +
        'whole by max_cost_usd. Call batch_status with the id until the status is completed or canceled; failed items do not fail the batch.',
      arguments: urlBatchSchema(dependencies.documentedOptions).extend({ idempotency_key: idempotencyKey }),
      createsJobs: true,
      async run(call) {
        const { request: fields, idempotent } = readIdempotency(dependencies.jobs, call);
        const batch = { fields, sender: call.sender, idempotent };
        const { record } = await acceptUrlBatch({ ...dependencies, rules }, batch);
        return view(dependencies, requireKind(record, 'batch'));
      },
    },
    {
      name: 'batch_status',
      title: 'Show a batch',
      description: 'Returns status and totals of a batch with a page of its jobs; next_cursor leads to the next page.',
      arguments: statusQuery,
      createsJobs: false,
      async run(call) {
        const { id, ...given } = parseQuery(statusQuery, toTexts(call.fields));
        const batch = await dependencies.batches.settle(await requireBatch(dependencies, id, call));
        return view(dependencies, batch, given);
      },
    },
    {
      name: 'cancel_batch',
      title: 'Cancel a batch',
      description: 'Cancels the jobs of a batch that have not ended, and returns the batch.',
      arguments: idQuery,
      createsJobs: false,
      isDestructive: true,
      async run(call) {
        const { id } = parseQuery(idQuery, Object.fromEntries(call.fields));
        const batch = await requireBatch(dependencies, id, call);
        return view(dependencies, await cancelBatch(dependencies.batches, batch));
      },
    },
  ];
}

function view(
  dependencies: ApiDependencies,
  batch: JobRecord<'batch'>,
  given: Parameters<typeof viewBatch>[2] = { limit: 20 },
): Promise<BatchView> {
  return viewBatch(dependencies, batch, given);
}

/** A model sends numbers where a query has text. */
function toTexts(fields: ToolCall['fields']): object {
  return Object.fromEntries(
    [...fields].map(([name, value]) => [name, typeof value === 'number' ? String(value) : value]),
  );
}

async function requireBatch({ store }: ApiDependencies, id: string, { caller }: ToolCall): Promise<JobRecord<'batch'>> {
  const record = await findJob(store, id, caller);
  if (!record || !isOfKind(record, 'batch')) throw unknownJob('batch');
  return record;
}
