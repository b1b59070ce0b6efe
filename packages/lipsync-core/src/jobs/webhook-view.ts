import type { DeliveryView } from '../contract/index.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { publicUrl, toTimestamp } from './job-view.ts';

/** Returns a delivery as callers of the API see it. */
export function toDeliveryView(record: JobRecord<'webhook'>): DeliveryView {
  const { id, status, spec, tries, nextTryAtMs, createdAtMs, completedAtMs } = record;
  return {
    id,
    event: spec.event,
    job_id: spec.subjectId,
    url: publicUrl(spec.url),
    status,
    tries: tries.map(({ atMs, status: httpStatus, reason }) => ({
      at: toTimestamp(atMs),
      http_status: httpStatus,
      reason,
    })),
    next_try_at: isTerminal(status) || nextTryAtMs === null ? null : toTimestamp(nextTryAtMs),
    created_at: toTimestamp(createdAtMs),
    completed_at: completedAtMs === null ? null : toTimestamp(completedAtMs),
  };
}
