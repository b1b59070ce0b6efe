import { isOfKind, toJobView, type JobKind, type JobRecord } from '@lipsync/core/host';
import type { JobView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { HttpError } from '../http/problem.ts';

/** Format of job ids. Other ids are treated as unknown without a lookup. */
const plausibleId = /^[A-Za-z0-9_-]{1,64}$/;

/** The record of a job of a kind. Throws `not_found` for unknown and malformed ids, and jobs of another kind, alike. */
export async function requireJob<Kind extends JobKind>(
  store: ApiDependencies['store'],
  kind: Kind,
  id: unknown,
): Promise<JobRecord<Kind>> {
  const record = typeof id === 'string' && plausibleId.test(id) ? await store.get(id) : undefined;
  if (!record || !isOfKind(record, kind)) throw new HttpError('not_found', 'Unknown job. Check the id.');
  return record;
}

/** URL of a job. */
export function jobUrl(publicBaseUrl: string, id: string): string {
  return `${publicBaseUrl}/lipsync/${id}`;
}

export function viewJob(publicBaseUrl: string, record: JobRecord<'lipsync'>): JobView {
  return toJobView(record, `${jobUrl(publicBaseUrl, record.id)}/output`);
}
