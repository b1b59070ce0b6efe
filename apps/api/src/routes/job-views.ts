import { toJobView, type JobRecord } from '@lipsync/core/host';
import type { JobView } from '@lipsync/core/contract';
import type { ApiDependencies } from '../dependencies.ts';
import { HttpError } from '../http/problem.ts';

/** Format of job ids. Other ids are treated as unknown without a lookup. */
const plausibleId = /^[A-Za-z0-9_-]{1,64}$/;

/** The record of a job. Throws `not_found` for unknown and malformed ids alike. */
export async function requireJob(store: ApiDependencies['store'], id: unknown): Promise<JobRecord> {
  const record = typeof id === 'string' && plausibleId.test(id) ? await store.get(id) : undefined;
  if (!record) throw new HttpError('not_found', 'Unknown job. Check the id.');
  return record;
}

/** URL of a job. */
export function jobUrl(publicBaseUrl: string, id: string): string {
  return `${publicBaseUrl}/lipsync/${id}`;
}

export function viewJob(publicBaseUrl: string, record: JobRecord): JobView {
  return toJobView(record, `${jobUrl(publicBaseUrl, record.id)}/output`);
}
