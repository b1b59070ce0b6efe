import { toJobView, type JobRecord } from '@lipsync/core';
import type { JobView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { HttpError } from '../http/problem.ts';

/** Ids that could be ours. Anything else is answered like an id that does not exist, without asking the store. */
const plausibleId = /^[A-Za-z0-9_-]{1,64}$/;

/** The record of a job. Throws `not_found` for unknown and malformed ids alike. */
export async function requireJob(store: ApiDependencies['store'], id: unknown): Promise<JobRecord> {
  const record = typeof id === 'string' && plausibleId.test(id) ? await store.get(id) : undefined;
  if (!record) throw new HttpError('not_found', 'There is no such job. Check the id.');
  return record;
}

/** Where a job is found over HTTP. */
export function jobUrl(publicBaseUrl: string, id: string): string {
  return `${publicBaseUrl}/lipsync/${id}`;
}

export function viewJob(publicBaseUrl: string, record: JobRecord): JobView {
  return toJobView(record, `${jobUrl(publicBaseUrl, record.id)}/output`);
}
