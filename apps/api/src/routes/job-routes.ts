import type { Request, Response } from 'express';
import { isTerminal, requireKind, type JobKind, type RequestKind } from '@lipsync/core/host';
import { storedInputs, type Accepted, type RequestClaim } from '@lipsync/queue';
import type { ApiDependencies } from '../dependencies.ts';
import { withIdempotencyKey } from '../http/idempotency.ts';
import { readJobBody } from '../http/job-body.ts';
import { documentedJobQuery, parseJobQuery } from '../http/job-query.ts';
import { HttpError } from '../http/problem.ts';
import { documentJobRoutes } from '../reference/job-documentation.ts';
import type { EventStreams } from './event-streams.ts';
import {
  listMissingInputs,
  requireInputs,
  requireJob,
  senderOf,
  type JobResource,
  type Sender,
} from './job-resource.ts';
import type { Route } from './route.ts';

/** Routes that create, show, list, follow and cancel jobs of one kind. */
export function jobRoutes<Kind extends RequestKind>(
  dependencies: ApiDependencies,
  resource: JobResource<Kind>,
  streams: EventStreams,
): readonly Route[] {
  const { path, rules } = resource;
  const documentation = documentJobRoutes(resource.documentation, {
    files: rules.files,
    query: documentedJobQuery(resource.methods),
  });
  const handle =
    (work: (tools: Tools<Kind>, request: Request, response: Response) => Promise<void>) =>
    (request: Request, response: Response): Promise<void> =>
      work({ dependencies, resource }, request, response);
  return [
    { method: 'post', path, createsJobs: true, documentation: documentation.create, handle: handle(createJob) },
    { method: 'get', path, documentation: documentation.list, handle: handle(listJobs) },
    { method: 'get', path: `${path}/:id`, documentation: documentation.show, handle: handle(showJob) },
    {
      method: 'get',
      path: `${path}/:id/events`,
      documentation: documentation.events,
      handle: streams.handle(resource),
    },
    { method: 'post', path: `${path}/:id/cancel`, documentation: documentation.cancel, handle: handle(cancelJob) },
    {
      method: 'post',
      path: `${path}/:id/retry`,
      createsJobs: true,
      documentation: documentation.retry,
      handle: handle(retryJob),
    },
    { method: 'delete', path: `${path}/:id`, documentation: documentation.delete, handle: handle(deleteJob) },
  ];
}

interface Tools<Kind extends RequestKind> {
  readonly dependencies: ApiDependencies;
  readonly resource: JobResource<Kind>;
}

interface JobRequest<Kind extends RequestKind> {
  readonly body: Parameters<JobResource<Kind>['submit']>[0];
  readonly sender: Sender;
  readonly claim: RequestClaim | undefined;
}

async function createJob<Kind extends RequestKind>(
  { dependencies, resource }: Tools<Kind>,
  request: Request,
  response: Response,
): Promise<void> {
  const sender = senderOf(request, response);
  const { kind, path, rules } = resource;
  const { record, isRepeated } = await withIdempotencyKey(
    dependencies,
    { request, response },
    async (idempotent): Promise<Accepted> => {
      const body = await readJobBody({ request, response }, rules, { ...dependencies, idempotent });
      if (body.type === 'repeated') return { record: body.record, isRepeated: true };
      const { inputs, options } = body;
      const claim = idempotent?.claim({ kind, options, inputs });
      return acceptJob({ dependencies, resource }, { body, sender, claim });
    },
  );
  if (isRepeated) response.set('Idempotent-Replayed', 'true');
  response
    .status(202)
    .location(`${dependencies.publicBaseUrl}${path}/${record.id}`)
    .json(resource.view(requireKind(record, kind)));
}

/** Records and queues a job. Throws the errors of the queue, and an error for an input that was deleted meanwhile. */
export async function acceptJob<Kind extends RequestKind>(
  { dependencies, resource }: Tools<Kind>,
  { body, sender, claim }: JobRequest<Kind>,
): Promise<Accepted> {
  const accepted = await resource.submit(body, sender, claim);
  const { record, isRepeated } = accepted;
  if (!isRepeated) await requireInputs(dependencies, record, storedInputs(record));
  return accepted;
}

async function listJobs<Kind extends RequestKind>(
  { dependencies: { store }, resource }: Tools<Kind>,
  request: Request,
  response: Response,
): Promise<void> {
  const { kind, methods } = resource;
  const page = await store.list(parseJobQuery({ request, response }, kind, methods));
  const jobs = page.records.map((record) => resource.view(record));
  response.json({ jobs, next_cursor: page.nextCursor });
}

async function showJob<Kind extends RequestKind>(
  { dependencies: { store }, resource }: Tools<Kind>,
  request: Request,
  response: Response,
): Promise<void> {
  response.json(resource.view(await requireJob(store, resource.kind, { request, response })));
}

async function cancelJob<Kind extends RequestKind>(
  { dependencies: { store, jobs }, resource }: Tools<Kind>,
  request: Request,
  response: Response,
): Promise<void> {
  const { id, status } = await requireJob<JobKind>(store, resource.kind, { request, response });
  if (isTerminal(status)) throw new HttpError('canceled', `The job is already ${status} and cannot be canceled.`);
  response.status(202).json(resource.view(requireKind(await jobs.cancel(id), resource.kind)));
}

async function retryJob<Kind extends RequestKind>(
  { dependencies: { store, jobs, artifacts }, resource }: Tools<Kind>,
  request: Request,
  response: Response,
): Promise<void> {
  const record = await requireJob<JobKind>(store, resource.kind, { request, response });
  if (record.status === 'failed' && (await listMissingInputs(artifacts, storedInputs(record))).length > 0)
    throw new HttpError('inputs_gone', 'An input of the job is no longer stored. Send a new request.');
  response.status(202).json(resource.view(requireKind(await jobs.retry(record.id), resource.kind)));
}

async function deleteJob<Kind extends RequestKind>(
  { dependencies: { store, erasure }, resource }: Tools<Kind>,
  request: Request,
  response: Response,
): Promise<void> {
  const { id } = await requireJob<JobKind>(store, resource.kind, { request, response });
  // A worker may have erased the job since `erase` has canceled it.
  const record = (await erasure.erase(id)) === 'erased' ? undefined : await store.get(id);
  if (record) response.status(202).json(resource.view(requireKind(record, resource.kind)));
  else response.status(204).end();
}
