import { DelayedError, UnrecoverableError, WaitingError, type Processor } from 'bullmq';
import { isTerminal, LipsyncError, type JobRecord, type JobRunner, type RunContext } from '@lipsync/core';
import { jobCatalogue, laneFor, queueNames, type LipsyncProducer } from '@lipsync/queue';

export interface LipsyncProcessorDependencies {
  readonly runner: JobRunner;
  readonly producer: Pick<LipsyncProducer, 'handOn' | 'wakeCanceled'>;
  /** Aborted when this worker must let go of its jobs. */
  readonly stopping: AbortSignal;
}

/**
 * Runs the job that a queue entry names, as far as it goes without waiting. The job record says where it stands; the
 * queue entry only mirrors that: it sleeps while the job waits, and shows failures as failures.
 */
export function createLipsyncProcessor({ runner, producer, stopping }: LipsyncProcessorDependencies): Processor {
  // BullMQ hands its signal, aborted when the lock is lost, only to a processor that declares three parameters.
  return async (job, token, lockLost) => {
    const payload = jobCatalogue.lipsync.payload.safeParse(job.data);
    if (!payload.success) throw new UnrecoverableError('The queue entry does not name a job.');
    const signal = AbortSignal.any(lockLost ? [stopping, lockLost] : [stopping]);
    const canRun: RunContext['canRun'] = (kind) => queueNames[laneFor(kind)] === job.queueName;
    try {
      const record = await runner.run(payload.data.jobId, { signal, canRun });
      if (isTerminal(record.status)) return mirror(record);
      if (record.needs !== null && !canRun(record.needs)) return await handOn(producer, record);
      // Another worker is at it: this entry was delivered twice.
      if (record.parkedUntilMs === null) return { status: 'taken over' };
      await job.moveToDelayed(record.parkedUntilMs, token);
      // Canceled in the very moment; should Redis be lost just now, it is seen when the job wakes by itself.
      await producer.wakeCanceled(record.id).catch(() => undefined);
    } catch (error) {
      if (LipsyncError.isInstance(error) && error.code === 'not_found') throw new UnrecoverableError(error.message);
      if (!stopping.aborted) throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    }
    throw new DelayedError();
  };
}

function mirror({ status, error }: JobRecord): { readonly status: string } {
  if (status === 'completed') return { status };
  throw new UnrecoverableError(error ? `${error.code}: ${error.message}` : status);
}

async function handOn(
  producer: LipsyncProcessorDependencies['producer'],
  record: JobRecord,
): Promise<{ readonly status: string }> {
  await producer.handOn(record);
  return { status: 'handed on' };
}
