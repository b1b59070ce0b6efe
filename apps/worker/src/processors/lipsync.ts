import { UnrecoverableError, WaitingError, type Processor } from 'bullmq';
import { LipsyncError, type JobRecord, type JobRunner } from '@lipsync/core';
import { jobCatalogue } from '@lipsync/queue';

export interface LipsyncProcessorDependencies {
  readonly runner: JobRunner;
  /** Aborted when this worker must let go of its jobs. */
  readonly stopping: AbortSignal;
}

/**
 * Runs the job that a queue entry names. The job record says how it ended; the queue entry only mirrors that, so
 * that the queue board shows failures as failures.
 */
export function createLipsyncProcessor({ runner, stopping }: LipsyncProcessorDependencies): Processor {
  // BullMQ hands its signal, aborted when the lock is lost, only to a processor that declares three parameters.
  return async (job, token, lockLost) => {
    const payload = jobCatalogue.lipsync.payload.safeParse(job.data);
    if (!payload.success) throw new UnrecoverableError('The queue entry does not name a job.');
    const signal = AbortSignal.any(lockLost ? [stopping, lockLost] : [stopping]);
    try {
      return mirror(await runner.run(payload.data.jobId, { signal }));
    } catch (error) {
      if (LipsyncError.isInstance(error) && error.code === 'not_found') throw new UnrecoverableError(error.message);
      if (!stopping.aborted) throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    }
  };
}

function mirror({ status, error }: JobRecord): { readonly status: string } {
  if (status === 'completed') return { status };
  throw new UnrecoverableError(error ? `${error.code}: ${error.message}` : status);
}
