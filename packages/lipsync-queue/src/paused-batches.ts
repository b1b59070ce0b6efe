import { batchIdOf, isOfKind, needsWorkerToEnd, type JobRecord, type JobStore } from '@lipsync/core/host';

/**
 * Returns whether a job must not start because its batch is paused. One that has started, was canceled or can be ended
 * by a worker only runs on. Reads nothing for a single job.
 */
export async function isHeldByPause(store: Pick<JobStore, 'get'>, jobId: string): Promise<boolean> {
  const batchId = batchIdOf(jobId);
  const batch = batchId === undefined ? undefined : await store.get(batchId);
  if (!batch || !isOfKind(batch, 'batch') || !batch.spec.isPaused) return false;
  const job = await store.get(jobId);
  return job !== undefined && isWaitingToStart(job);
}

function isWaitingToStart(job: JobRecord): boolean {
  return job.status === 'queued' && !job.cancelRequested && !needsWorkerToEnd(job);
}
