import type { Request, Response } from 'express';
import { z } from 'zod';
import { isTerminal, requireKind } from '@lipsync/core/host';
import { jobStatuses } from '@lipsync/core/contract';
import type { Accepted } from '@lipsync/queue';
import type { ApiDependencies } from '../dependencies.ts';
import { readTraceparent } from '../http/request-id.ts';
import { withIdempotencyKey } from '../http/idempotency.ts';
import { readLipsyncBody } from '../http/lipsync-body.ts';
import { parseQuery } from '../http/parse-query.ts';
import { HttpError } from '../http/problem.ts';
import { jobUrl, requireJob, viewJob } from './job-views.ts';
import type { Route } from './route.ts';

const pageQuery = z.strictObject({
  status: z.enum(jobStatuses).optional(),
  limit: z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(1).max(100))
    .default(20),
  cursor: z.string().min(1).max(500).optional(),
});

/** Routes that create, show, list and cancel jobs. */
export function lipsyncJobRoutes(dependencies: ApiDependencies): readonly Route[] {
  return [
    { method: 'post', path: '/lipsync', handle: (request, response) => createJob(dependencies, request, response) },
    { method: 'get', path: '/lipsync', handle: (request, response) => listJobs(dependencies, request, response) },
    { method: 'get', path: '/lipsync/:id', handle: (request, response) => showJob(dependencies, request, response) },
    {
      method: 'post',
      path: '/lipsync/:id/cancel',
      handle: (request, response) => cancelJob(dependencies, request, response),
    },
  ];
}

async function createJob(dependencies: ApiDependencies, request: Request, response: Response): Promise<void> {
  const { caller: owner, requestId } = response.locals;
  const traceparent = readTraceparent(request);
  const { record, isRepeated } = await withIdempotencyKey(
    dependencies,
    { request, response },
    async (idempotent): Promise<Accepted> => {
      const body = await readLipsyncBody(request, response, { ...dependencies, idempotent });
      if (body.type === 'repeated') return { record: body.record, isRepeated: true };
      const { inputs, options } = body;
      const submission = { ...inputs, options, owner, requestId, traceparent };
      return dependencies.jobs.submit(submission, idempotent?.claim({ kind: 'lipsync', options, inputs }));
    },
  );
  if (isRepeated) response.set('Idempotent-Replayed', 'true');
  response
    .status(202)
    .location(jobUrl(dependencies.publicBaseUrl, record.id))
    .json(viewJob(dependencies.publicBaseUrl, requireKind(record, 'lipsync')));
}

async function listJobs(
  { store, publicBaseUrl }: ApiDependencies,
  request: Request,
  response: Response,
): Promise<void> {
  const { status, limit, cursor } = parseQuery(pageQuery, request.query);
  const page = await store.list({ kind: 'lipsync', limit, ...(status && { status }), ...(cursor && { cursor }) });
  const jobs = page.records.map((record) => viewJob(publicBaseUrl, record));
  response.json({ jobs, next_cursor: page.nextCursor });
}

async function showJob({ store, publicBaseUrl }: ApiDependencies, request: Request, response: Response): Promise<void> {
  response.json(viewJob(publicBaseUrl, await requireJob(store, 'lipsync', request.params['id'])));
}

async function cancelJob(
  { store, jobs, publicBaseUrl }: ApiDependencies,
  request: Request,
  response: Response,
): Promise<void> {
  const { id, status } = await requireJob(store, 'lipsync', request.params['id']);
  if (isTerminal(status)) throw new HttpError('canceled', `The job is already ${status} and cannot be canceled.`);
  const record = requireKind(await jobs.cancel(id), 'lipsync');
  response.status(202).json(viewJob(publicBaseUrl, record));
}
