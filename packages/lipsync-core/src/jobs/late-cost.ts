import type { LateCost } from '../providers/pending-settlements.ts';
import type { JobStore } from './job-store.ts';

/** Tells a job's record what one of its attempts turned out to cost. False while the attempt goes on, whose end is to say so. */
export async function recordLateCost(
  store: Pick<JobStore, 'get' | 'append'>,
  { jobId, index, costMicros }: LateCost,
): Promise<boolean> {
  const record = await store.get(jobId);
  if (!record) return true;
  if (record.attempts[index]?.outcome === 'running') return false;
  await store.append(jobId, { type: 'attempt_settled', index, costMicros });
  return true;
}
