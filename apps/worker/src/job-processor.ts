import { setTimeout as delay } from 'node:timers/promises';
import {
  isTerminal,
  LipsyncError,
  nextWork,
  UnreadableRecordError,
  type JobRecord,
  type JobRunner,
  type RunContext,
} from '@lipsync/core/host';
import { laneFor, recordedJobPayload, queueNames, type LipsyncProducer, type RedisClock } from '@lipsync/queue';
import { DelayedError, UnrecoverableError, WaitingError, type Job } from 'bullmq';

const refusedJobPauseMs = 1_000;
/** Delay of an entry that only a worker of a later version can run. */
const laterVersionDelayMs = 10_000;
/** Time that such an entry occupies its slot, so that many of them are not claimed over and over. */
const laterVersionPauseMs = 250;

/** Processes an entry that a worker claimed with `token`; `lockLost` aborts when another worker may claim the entry. */
export type EntryProcessor = (job: Job, token: string, lockLost: AbortSignal) => Promise<unknown>;

export interface JobProcessorOptions {
  readonly runner: Pick<JobRunner, 'run'>;
  readonly producer: Pick<LipsyncProducer, 'isHeld' | 'transfer' | 'wakeIfMissed'>;
  /** Throws when this worker must not run jobs of this Redis, because it does not have their files. */
  readonly verifyRedis: () => Promise<void>;
  readonly clock: Pick<RedisClock, 'toLocalMs'>;
  /** Aborts when this worker must hand its jobs back. */
  readonly stopping: AbortSignal;
}

/**
 * Runs the job of a queue entry, of whatever kind, until it ends or waits. The job record holds the state of the job;
 * the entry only mirrors it: it is delayed while the job waits, and fails when the job failed.
 */
export function createJobProcessor({
  runner,
  producer,
  verifyRedis,
  clock,
  stopping,
}: JobProcessorOptions): EntryProcessor {
  return async (job, token, lockLost) => {
    const payload = recordedJobPayload.safeParse(job.data);
    if (!payload.success) throw new UnrecoverableError('The payload of the queue entry has no job id.');
    try {
      await verifyRedis();
    } catch {
      // This process ends soon; until then it must not take the same jobs over and over.
      await delay(refusedJobPauseMs, undefined, { signal: stopping }).catch(() => undefined);
      await job.moveToWait(token);
      throw new WaitingError();
    }
    const signal = AbortSignal.any([stopping, lockLost]);
    const canRun: RunContext['canRun'] = (work) => queueNames[laneFor(work)] === job.queueName;
    try {
      // The resume of its batch queues the job again.
      if (await producer.isHeld(payload.data.jobId)) return { status: 'held' };
      const record = await runner.run(payload.data.jobId, { signal, canRun });
      if (isTerminal(record.status)) return toEntryResult(record);
      const work = nextWork(record);
      if (work !== null && !canRun(work)) {
        await producer.transfer(record);
        return { status: 'transferred' };
      }
      // Another worker runs the job: this entry was delivered twice.
      if (record.parkedUntilMs === null) return { status: 'claimed by another worker' };
      // BullMQ compares it with the clock of this machine.
      await job.moveToDelayed(clock.toLocalMs(record.parkedUntilMs), token);
      // If Redis fails now, the delayed entry wakes by itself.
      await producer.wakeIfMissed(record.id).catch(() => undefined);
    } catch (error) {
      if (error instanceof UnreadableRecordError && error.isNewer) return leaveToLaterVersion(job, token);
      if (LipsyncError.isInstance(error) && error.code === 'not_found') throw new UnrecoverableError(error.message);
      if (!stopping.aborted) throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    }
    throw new DelayedError();
  };
}

/** Puts an entry back, delayed, which a process of a later version has created: only its workers can run the job. */
export async function leaveToLaterVersion(job: Job, token: string): Promise<never> {
  await delay(laterVersionPauseMs);
  await job.moveToDelayed(Date.now() + laterVersionDelayMs, token);
  throw new DelayedError();
}

function toEntryResult({ status, error }: JobRecord): { readonly status: string } {
  if (status === 'completed') return { status };
  throw new UnrecoverableError(error ? `${error.code}: ${error.message}` : status);
}
