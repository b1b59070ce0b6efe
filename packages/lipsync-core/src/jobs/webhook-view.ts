import type { DeliveryView, ReceiverView } from '../contract/index.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { publicUrl, toTimestamp } from './job-view.ts';
import type { SilencedReceiver } from './receiver-switches.ts';

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

/** Returns a receiver as callers of the API see it. `delivery` is the one that it answered 410, while it exists. */
export function toReceiverView(
  { id, owner, origin, deliveryId, offSinceMs }: SilencedReceiver,
  delivery: JobRecord<'webhook'> | undefined,
): ReceiverView {
  return {
    id,
    key: owner,
    origin,
    url: delivery ? publicUrl(delivery.spec.url) : null,
    delivery_id: deliveryId,
    off_since: offSinceMs === null ? null : toTimestamp(offSinceMs),
  };
}
