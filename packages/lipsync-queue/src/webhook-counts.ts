import type { Redis } from 'ioredis';
import type { JobRecord } from '@lipsync/core/host';
import { guardRedis } from './connection.ts';
import { webhookResultsKey } from './job-keys.ts';

const webhookResults = ['completed', 'failed', 'retried'] as const;
type WebhookResult = (typeof webhookResults)[number];

/** Numbers of deliveries that ended, and of failed tries after which another follows. */
export type WebhookCounts = Readonly<Record<WebhookResult, number>>;

/** Returns the result that a change of a delivery adds to the counts; undefined for any other change. Pure. */
export function webhookResultOf(current: JobRecord, next: JobRecord): WebhookResult | undefined {
  if (current.kind !== 'webhook' || next.kind !== 'webhook') return undefined;
  if (next.status !== current.status && (next.status === 'completed' || next.status === 'failed')) return next.status;
  return next.triesInRound > current.triesInRound && next.nextTryAtMs !== null ? 'retried' : undefined;
}

/** Reads the counts since the installation began; the job store adds to them. */
export async function readWebhookCounts(connection: Redis): Promise<WebhookCounts> {
  const stored = await guardRedis(() => connection.hmget(webhookResultsKey, ...webhookResults));
  const [completed = 0, failed = 0, retried = 0] = stored.map((value) => Number(value ?? 0));
  return { completed, failed, retried };
}
