import type { Request, Response } from 'express';
import {
  InvalidCursorError,
  isTerminal,
  maxBatchItems,
  requireKind,
  toBatchView,
  type JobRecord,
} from '@lipsync/core/host';
import type { BatchView } from '@lipsync/core/contract';
import type { Accepted } from '@lipsync/queue';
import { z } from 'zod';
import type { ApiDependencies } from '../dependencies.ts';
import {
  listReceivers,
  parseBatchBody,
  toComparableBatch,
  toGivenBatch,
  type BatchBody,
  type GivenBatch,
} from '../http/batch-body.ts';
import { manifestField, receiveBatchForm } from '../http/batch-form.ts';
import { lineTypes } from '../http/batch-lines.ts';
import { withIdempotencyKey, type IdempotentRequest, type RequestContent } from '../http/idempotency.ts';
import { readBatchFields } from '../http/json-body.ts';
import { checkReceivers, checkWebhook } from '../http/job-body.ts';
import { consentErrorCodes, HttpError } from '../http/problem.ts';
import { parseJobQuery } from '../http/job-query.ts';
import { parseQuery } from '../http/parse-query.ts';
import { batchItemQuery, batchStatusFilter, documentBatchRoutes } from '../reference/batch-documentation.ts';
import type { EventStreams } from './event-streams.ts';
import { requireInputs, requireJob, senderOf, type JobResource, type Sender } from './job-resource.ts';
import { lipsyncResource } from './lipsync-resource.ts';
import type { Route } from './route.ts';

/** Other parameters are ignored. */
const itemQuery = batchItemQuery.loose();
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
        const page = parseQuery(itemQuery, request.query);
        const batch = await batches.settle(await requireBatch(request, response));
        response.json(await viewBatch(dependencies, batch, page));
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
        const canceled = await cancelBatch(batches, await requireBatch(request, response));
        response.status(202).json(await viewBatch(dependencies, canceled));
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

/** Throws `canceled` for a batch that has ended. */
export async function cancelBatch(
  batches: ApiDependencies['batches'],
  batch: JobRecord<'batch'>,
): Promise<JobRecord<'batch'>> {
  const { id, status } = await batches.settle(batch);
  if (isTerminal(status)) throw new HttpError('canceled', `The batch is already ${status} and cannot be canceled.`);
  return batches.cancel(id);
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

type CreateDependencies = ApiDependencies & Pick<JobResource<'lipsync'>, 'rules'>;

async function createBatch(dependencies: CreateDependencies, request: Request, response: Response): Promise<void> {
  const { publicBaseUrl } = dependencies;
  if (!request.is(['application/json', 'multipart/form-data', ...lineTypes])) {
    const message = `Send application/json with "items", ${lineTypes.join(' or ')} with one item per line, or multipart/form-data with a CSV file "${manifestField}".`;
    throw new HttpError('request_invalid', message, { httpStatus: 415 });
  }
  const { record, isRepeated } = await withIdempotencyKey(dependencies, { request, response }, (idempotent) =>
    request.is('multipart/form-data')
      ? acceptForm({ ...dependencies, idempotent }, request, response)
      : acceptJson({ ...dependencies, idempotent }, request, response),
  );
  if (isRepeated) response.set('Idempotent-Replayed', 'true');
  const batch = requireKind(record, 'batch');
  response
    .status(202)
    .location(`${publicBaseUrl}/batches/${batch.id}`)
    .json(await viewBatch(dependencies, batch));
}

type AcceptDependencies = CreateDependencies & { readonly idempotent: IdempotentRequest | undefined };

async function acceptJson(dependencies: AcceptDependencies, request: Request, response: Response): Promise<Accepted> {
  const { bodyTime, idempotent } = dependencies;
  const fields = await readBatchFields(request, response, bodyTime);
  return acceptUrlBatch(dependencies, { fields, sender: senderOf(request, response), idempotent });
}

interface UrlBatch {
  readonly fields: ReadonlyMap<string, unknown>;
  readonly sender: Sender;
  readonly idempotent: IdempotentRequest | undefined;
}

/** Checks and stores a batch whose inputs are URLs. Throws as the route does. */
export async function acceptUrlBatch(
  dependencies: CreateDependencies,
  { fields, sender, idempotent }: UrlBatch,
): Promise<Accepted> {
  const body = await readBatch({ ...dependencies, idempotent }, toGivenBatch(fields));
  if ('record' in body) return body;
  return dependencies.batches.submit({ ...body, ...sender }, idempotent?.claim(contentOf(body)));
}

async function acceptForm(dependencies: AcceptDependencies, request: Request, response: Response): Promise<Accepted> {
  const { artifacts, batches, bodyTime, erasure, idempotent, maxBatchUploadBytes, maxUploadBytes } = dependencies;
  const rules = { bodyTime, maxFileBytes: maxUploadBytes, maxTotalBytes: maxBatchUploadBytes };
  const { batch, uploads } = await receiveBatchForm(request, artifacts, rules);
  try {
    const body = await readBatch(dependencies, batch);
    if ('record' in body) {
      await uploads.discard();
      return body;
    }
    await uploads.commit(dependencies.uploads);
    const claim = idempotent?.claim(contentOf(body));
    const accepted = await batches.submit({ ...body, ...senderOf(request, response) }, claim);
    if (!accepted.isRepeated) await requireInputs({ artifacts, erasure }, accepted.record, inputsOf(body));
    return accepted;
  } catch (error) {
    // Uploads that are neither committed nor discarded would never end.
    await uploads.discard();
    throw error;
  }
}

/** Parses a batch. One that an equal request created is returned also when this request would be refused by now. */
async function readBatch(
  { checkReceiver, checkUrl, idempotent, requireWebhooks, rules }: AcceptDependencies,
  batch: GivenBatch,
): Promise<BatchBody | Accepted> {
  const refuseReceiver = await checkReceivers(listReceivers(batch), checkReceiver);
  const parse = (given: typeof rules): BatchBody => {
    const body = parseBatchBody(batch, given, { checkUrl, refuseReceiver });
    checkWebhook(body.options, requireWebhooks);
    return body;
  };
  const findRepeated = async (body: BatchBody): Promise<Accepted | undefined> => {
    const record = await idempotent?.findRepeated(contentOf(body));
    return record && { record, isRepeated: true };
  };
  try {
    const body = parse(rules);
    return (await findRepeated(body)) ?? body;
  } catch (error) {
    if (!isConsentRefusal(error)) throw error;
    const { checkRequest: _, ...others } = rules;
    const repeated = await findRepeated(parse(others));
    if (!repeated) throw error;
    return repeated;
  }
}

function isConsentRefusal(error: unknown): boolean {
  return error instanceof HttpError && consentErrorCodes.some((code) => code === error.code);
}

function contentOf(body: BatchBody): RequestContent {
  return { kind: 'batch', options: toComparableBatch(body), inputs: {} };
}

function inputsOf({ items }: BatchBody): readonly string[] {
  const inputs = items.flatMap(({ video, audio }) => [video, audio]);
  return [...new Set(inputs.flatMap((input) => (input.kind === 'artifact' ? [input.key] : [])))];
}

export async function viewBatch(
  { batches, publicBaseUrl }: Pick<ApiDependencies, 'batches' | 'publicBaseUrl'>,
  batch: JobRecord<'batch'>,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined } = { limit: maxBatchItems },
): Promise<BatchView> {
  // A cursor is the index of the first item of a page.
  if (cursor !== undefined && !/^\d{1,4}$/.test(cursor)) throw new InvalidCursorError();
  const start = Number(cursor ?? 0);
  const content = await batches.readContent(batch, { start, count: limit });
  const next = start + limit < batch.spec.itemCount ? String(start + limit) : null;
  return toBatchView(batch, content, (jobId) => `${publicBaseUrl}/lipsync/${jobId}/output`, next);
}
