import type { Request, Response } from 'express';
import { isTerminal, requireKind, toBatchView, type JobRecord } from '@lipsync/core/host';
import type { BatchView } from '@lipsync/core/contract';
import { z } from 'zod';
import type { ApiDependencies } from '../dependencies.ts';
import { listReceivers, parseBatchBody } from '../http/batch-body.ts';
import { lineTypes } from '../http/batch-lines.ts';
import { withIdempotencyKey } from '../http/idempotency.ts';
import { readBatchFields } from '../http/json-body.ts';
import { checkReceivers, checkWebhook } from '../http/job-body.ts';
import { HttpError } from '../http/problem.ts';
import { parseJobQuery } from '../http/job-query.ts';
import { parseQuery } from '../http/parse-query.ts';
import { batchStatusFilter, documentBatchRoutes } from '../reference/batch-documentation.ts';
import type { EventStreams } from './event-streams.ts';
import { requireJob, senderOf, type JobResource } from './job-resource.ts';
import { lipsyncResource } from './lipsync-resource.ts';
import type { Route } from './route.ts';

const statusQuery = z.strictObject({ status: batchStatusFilter });

/** Routes that create, list, show, follow, pause, cancel and delete batches of lip-sync jobs. */
export function batchRoutes(dependencies: ApiDependencies, streams: EventStreams): readonly Route[] {
  const { batches, erasure, store } = dependencies;
  const requireBatch = (request: Request, response: Response): Promise<JobRecord<'batch'>> =>
    requireJob(store, 'batch', { request, response });
  const documentation = documentBatchRoutes(dependencies.documentedOptions);
  const { rules } = lipsyncResource(dependencies);
  return [
    {
      method: 'post',
      path: '/batches',
      documentation: documentation.create,
      createsJobs: true,
      handle: (request, response) => createBatch({ ...dependencies, rules }, request, response),
    },
    {
      method: 'get',
      path: '/batches',
      documentation: documentation.list,
      handle: (request, response) => listBatches(dependencies, request, response),
    },
    {
      method: 'get',
      path: '/batches/:id',
      documentation: documentation.show,
      async handle(request, response) {
        const batch = await batches.settle(await requireBatch(request, response));
        response.json(await viewBatch(dependencies, batch));
      },
    },
    {
      method: 'get',
      path: '/batches/:id/events',
      documentation: documentation.events,
      handle: streams.handleBatch(),
    },
    {
      method: 'post',
      path: '/batches/:id/cancel',
      documentation: documentation.cancel,
      async handle(request, response) {
        const { id, status } = await batches.settle(await requireBatch(request, response));
        if (isTerminal(status))
          throw new HttpError('canceled', `The batch is already ${status} and cannot be canceled.`);
        response.status(202).json(await viewBatch(dependencies, await batches.cancel(id)));
      },
    },
    ...([true, false] as const).map((isPaused) =>
      pauseRoute(dependencies, { isPaused, documentation: documentation[isPaused ? 'pause' : 'resume'] }),
    ),
    {
      method: 'delete',
      path: '/batches/:id',
      documentation: documentation.delete,
      async handle(request, response) {
        const { id } = await requireBatch(request, response);
        // A worker may have erased the batch since `erase` has canceled it.
        const batch = (await erasure.erase(id)) === 'erased' ? undefined : await store.get(id);
        if (batch) response.status(202).json(await viewBatch(dependencies, requireKind(batch, 'batch')));
        else response.status(204).end();
      },
    },
  ];
}

/** The route that pauses a batch, or the one that resumes it. */
function pauseRoute(
  dependencies: ApiDependencies,
  { isPaused, documentation }: Pick<Route, 'documentation'> & { readonly isPaused: boolean },
): Route {
  const { batches, store } = dependencies;
  const action = isPaused ? 'pause' : 'resume';
  return {
    method: 'post',
    path: `/batches/:id/${action}`,
    documentation,
    async handle(request, response) {
      const { id, status } = await batches.settle(await requireJob(store, 'batch', { request, response }));
      if (isTerminal(status))
        throw new HttpError('conflict', `The batch is already ${status}: it cannot be ${action}d.`);
      response.status(202).json(await viewBatch(dependencies, await batches.setPaused(id, isPaused)));
    },
  };
}

/** A page of batches without their jobs. An open batch has no index by status, so such a page may be short. */
async function listBatches({ batches, store }: ApiDependencies, { query }: Request, response: Response): Promise<void> {
  const { status: text, ...rest } = query;
  const status = text === undefined ? undefined : parseQuery(statusQuery, { status: text }).status;
  const isEnded = status === 'completed' || status === 'canceled';
  const request = { query: isEnded ? { ...rest, status } : rest };
  const page = await store.list(parseJobQuery({ request, response }, 'batch', []));
  const views = await Promise.all(page.records.map((batch) => batches.summarize(batch)));
  const shown = views.filter((batch) => status === undefined || batch.status === status);
  response.json({ batches: shown, next_cursor: page.nextCursor });
}

async function createBatch(
  dependencies: ApiDependencies & Pick<JobResource<'lipsync'>, 'rules'>,
  request: Request,
  response: Response,
): Promise<void> {
  const { batches, bodyTime, checkReceiver, checkUrl, publicBaseUrl, requireWebhooks, rules } = dependencies;
  if (!request.is(['application/json', ...lineTypes])) {
    const message = `Send application/json with "items", or ${lineTypes.join(' or ')} with one item per line.`;
    throw new HttpError('request_invalid', message, { httpStatus: 415 });
  }
  const { record, isRepeated } = await withIdempotencyKey(dependencies, { request, response }, async (idempotent) => {
    const fields = await readBatchFields(request, response, bodyTime);
    const refuseReceiver = await checkReceivers(listReceivers(fields), checkReceiver);
    const body = parseBatchBody(fields, rules, { checkUrl, refuseReceiver });
    checkWebhook(body.options, requireWebhooks);
    const claim = idempotent?.claim({ kind: 'batch', options: body, inputs: {} });
    return batches.submit({ ...body, ...senderOf(request, response) }, claim);
  });
  if (isRepeated) response.set('Idempotent-Replayed', 'true');
  const batch = requireKind(record, 'batch');
  response
    .status(202)
    .location(`${publicBaseUrl}/batches/${batch.id}`)
    .json(await viewBatch(dependencies, batch));
}

async function viewBatch({ batches, publicBaseUrl }: ApiDependencies, batch: JobRecord<'batch'>): Promise<BatchView> {
  return toBatchView(batch, await batches.readContent(batch), (jobId) => `${publicBaseUrl}/lipsync/${jobId}/output`);
}
