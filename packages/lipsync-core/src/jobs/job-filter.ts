import type { JobStatus } from '../contract/index.ts';
import type { JobRecord } from './job-record.ts';

/** Conditions on the jobs of a list; all of them hold for each job. */
export interface JobFilter {
  readonly status?: JobStatus;
  /** Name of the API key that created the job. */
  readonly owner?: string;
  readonly userId?: string;
  readonly batchId?: string;
  /** The requested method, not that of the output. */
  readonly method?: string;
  /** Id of the job that a delivery is about. */
  readonly subjectId?: string;
  /** Earliest creation time. */
  readonly fromMs?: number;
  /** Creation times are earlier. */
  readonly toMs?: number;
  /** A field of the metadata, and the text of its value: a string as it is, a number or boolean as in JSON. */
  readonly metadata?: { readonly key: string; readonly text: string };
}

/** Returns whether a job meets every condition. Pure. */
export function matchesFilter(record: JobRecord, filter: JobFilter): boolean {
  const { status, owner, userId, batchId, method, subjectId, fromMs, toMs, metadata } = filter;
  const { userId: user, metadata: given } = record.kind === 'webhook' ? {} : record.spec.options;
  return (
    (status === undefined || record.status === status) &&
    (owner === undefined || record.owner === owner) &&
    (userId === undefined || user === userId) &&
    (batchId === undefined || record.batch?.id === batchId) &&
    (method === undefined || (record.kind === 'lipsync' && record.spec.options.method === method)) &&
    (subjectId === undefined || (record.kind === 'webhook' && record.spec.subjectId === subjectId)) &&
    (fromMs === undefined || record.createdAtMs >= fromMs) &&
    (toMs === undefined || record.createdAtMs < toMs) &&
    (metadata === undefined || textOf(given, metadata.key) === metadata.text)
  );
}

/** Records of earlier versions may have no metadata. */
function textOf(metadata: Readonly<Record<string, unknown>> | undefined, key: string): string | undefined {
  const value = Object.entries(metadata ?? {}).find(([name]) => name === key)?.[1];
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}
