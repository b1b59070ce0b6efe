import type { Request, Response } from 'express';
import {
  activeTraceparent,
  isOfKind,
  type ArtifactStore,
  type JobKind,
  type JobRecord,
  type RequestKind,
  type TraceContext,
} from '@lipsync/core/host';
import { inputErased, type Accepted, type RequestClaim } from '@lipsync/queue';
import type { ApiDependencies } from '../dependencies.ts';
import { callerOf, mayAccess, type Caller } from '../http/access.ts';
import type { BodyRules, JobBody } from '../http/job-body.ts';
import { HttpError } from '../http/problem.ts';
import { readTraceparent } from '../http/request-id.ts';
import type { JobDocumentation } from '../reference/job-documentation.ts';

type OptionsOf<Kind extends RequestKind> = JobRecord<Kind>['spec']['options'];

/** Who sent a request. */
export interface Sender extends TraceContext {
  /** Name of the API key; null without one. */
  readonly owner: string | null;
}

export function senderOf(request: Request, response: Response): Sender {
  const { requestId } = response.locals;
  const traceparent = activeTraceparent() ?? readTraceparent(request);
  return { owner: callerOf(response).owner, requestId, traceparent };
}

/** How jobs of one kind are requested and shown. */
export interface JobResource<Kind extends RequestKind> {
  readonly kind: Kind;
  /** Path of the collection. */
  readonly path: string;
  readonly rules: BodyRules<OptionsOf<Kind>>;
  /** Values of `method` that a job may have requested; empty if jobs of this kind have no method. */
  readonly methods: readonly string[];
  readonly documentation: JobDocumentation;
  /** Throws the errors of the queue. */
  submit(body: JobBody<OptionsOf<Kind>>, sender: Sender, claim: RequestClaim | undefined): Promise<Accepted>;
  view(record: JobRecord<Kind>): object;
}

/** Format of job ids. Other ids are treated as unknown without a lookup. */
const plausibleId = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * The record of the job of a kind that the path names. Throws `not_found` for unknown and malformed ids, jobs of another
 * kind, and jobs that the caller may not access, alike.
 */
export async function requireJob<Kind extends JobKind>(
  store: ApiDependencies['store'],
  kind: Kind,
  { request, response }: { readonly request: Request; readonly response: Response },
): Promise<JobRecord<Kind>> {
  const record = await findJob(store, request.params['id'], callerOf(response));
  if (!record || !isOfKind(record, kind)) throw unknownJob(kind);
  return record;
}

/** The record of a job of any kind; undefined for unknown and malformed ids, and for jobs that the caller may not access. */
export async function findJob(
  store: ApiDependencies['store'],
  id: unknown,
  caller: Caller,
): Promise<JobRecord | undefined> {
  const record = typeof id === 'string' && plausibleId.test(id) ? await store.get(id) : undefined;
  return record && mayAccess(caller, record.owner) ? record : undefined;
}

/** Withdraws a new job with a file that was deleted with another job before the new job named it. */
export async function requireInputs(
  { artifacts, erasure }: Pick<ApiDependencies, 'artifacts' | 'erasure'>,
  { id }: JobRecord,
  keys: readonly string[],
): Promise<void> {
  if ((await listMissingInputs(artifacts, keys)).length === 0) return;
  await erasure.erase(id);
  throw inputErased();
}

/** The artifact keys under which nothing is stored. */
export async function listMissingInputs(
  artifacts: Pick<ArtifactStore, 'stat'>,
  keys: readonly string[],
): Promise<readonly string[]> {
  const found = await Promise.all(keys.map((key) => artifacts.stat(key)));
  return keys.filter((_, index) => found[index] === undefined);
}

export function unknownJob(kind: JobKind = 'lipsync'): HttpError {
  return new HttpError('not_found', `Unknown ${kindNames[kind]}. Check the id.`);
}

/** What callers call a record of a kind. */
const kindNames: Readonly<Record<JobKind, string>> = {
  lipsync: 'job',
  quality: 'job',
  batch: 'batch',
  webhook: 'delivery',
};
