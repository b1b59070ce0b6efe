import { batchIdOf, isOfKind, isTerminal, needsWorkerToEnd, type JobRecord, type JobStore } from '@lipsync/core/host';

/**
 * Returns whether a job must not start because its batch is paused. One that has started, was canceled or can be ended
 * by a worker only runs on. Reads nothing for a single job.
 */
export async function isHeldByPause(store: Pick<JobStore, 'get'>, jobId: string): Promise<boolean> {
  const batchId = batchIdOf(jobId);
  const batch = batchId === undefined ? undefined : await store.get(batchId);
  // A batch that ended while it was paused cannot be resumed, but its failed jobs can be retried.
  if (!batch || !isOfKind(batch, 'batch') || isTerminal(batch.status) || !batch.spec.isPaused) return false;
  const job = await store.get(jobId);
  return job !== undefined && isWaitingToStart(job);
}

function isWaitingToStart(job: JobRecord): boolean {
  return job.status === 'queued' && !job.cancelRequested && !needsWorkerToEnd(job);
}
