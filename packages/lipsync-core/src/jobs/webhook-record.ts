import { newEnvelope, type JobRecord, type NewEnvelope } from './job-record.ts';
import type { WebhookMessage } from './webhook-delivery.ts';

/** Values of a new delivery. */
export interface NewWebhookJob extends WebhookMessage, Omit<NewEnvelope, 'deadlineMs' | 'needs' | 'batch'> {}

/** Returns the record of a message that is to be sent at once. Pure. */
export function newWebhookRecord({ url, event, subjectId, body, ...rest }: NewWebhookJob): JobRecord<'webhook'> {
  return {
    ...newEnvelope({ ...rest, needs: 'deliver' }),
    kind: 'webhook',
    spec: { url, event, subjectId, body },
    tries: [],
    triesInRound: 0,
    nextTryAtMs: rest.nowMs,
    result: null,
  };
}
