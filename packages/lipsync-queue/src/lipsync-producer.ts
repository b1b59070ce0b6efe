import type { Clock, JobRecord, JobStore, Load, Logger } from '@lipsync/core';
import type { Redis } from 'ioredis';
import { toRedisError } from './connection.ts';
import { laneOf, type Lane } from './job-catalogue.ts';
import { sweepJobs, type Swept } from './job-sweep.ts';
import { createQueueEntries, type LipsyncQueueHandle } from './queue-entries.ts';
import { wakeNextWaitingJob } from './wake-next-waiting-job.ts';

export interface LipsyncProducerDependencies {
  /** Made by `createClientConnection`; the caller keeps and ends it. */
  readonly connection: Redis;
  readonly store: JobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Jobs younger than this are taken to be on their way into the queue. */
  readonly requeueAfterMs?: number;
}

export interface LipsyncProducer {
  /**
   * Stores the record, then queues the job. Once the record is stored the job is accepted: if queuing fails after
   * that, `sweep` makes up for it. Throws `resource_exhausted` when the record could not be stored.
   */
  submit(record: JobRecord, lane?: Lane): Promise<void>;
  /** Queues a job of which one lane's worker has done its part in the lane that it needs next. */
  handOn(record: JobRecord): Promise<void>;
  /** Has a job that sleeps in a queue looked at now; one that does not sleep is left alone. */
  wake(jobId: string): Promise<void>;
  /** As `wake`, for a job that fell asleep while it was being canceled; any other sleeps on. */
  wakeCanceled(jobId: string): Promise<void>;
  /**
   * As `wake`, for the one of those that stand in line for a provider whose turn it is; several at once wake one each.
   * False where nobody in line sleeps.
   */
  wakeNextWaitingJob(): Promise<boolean>;
  /**
   * Queues every unfinished job that no queue is going to run (never queued, or ended in the queue while its record is
   * not at an end), and fails every job that still waits at its deadline. Safe to run from several processes and beside
   * workers; one of them does it at a time.
   */
  sweep(): Promise<Swept>;
  /** Takes a job out of the queues, so that none runs it; false, and nothing taken, when a worker holds it. */
  remove(jobId: string): Promise<boolean>;
  /** What the queues hold, for whoever wants to know how long a job would wait; of one that stands in line, what is ahead of it. */
  load(waitingJobId?: string): Promise<Load>;
  /** The queue of a lane, e.g. for a page about queues. Connects with its first command. */
  queue(lane: Lane): Promise<LipsyncQueueHandle>;
  close(): Promise<void>;
}

const defaultRequeueAfterMs = 5_000;

export function createProducer(dependencies: LipsyncProducerDependencies): LipsyncProducer {
  const { connection, store, clock, logger, requeueAfterMs = defaultRequeueAfterMs } = dependencies;
  const entries = createQueueEntries({ connection, logger });
  return {
    async submit(record, lane = laneOf(record)) {
      await store.create(record);
      await entries.add(record, lane).catch((error: unknown) => {
        logger.warn({ jobId: record.id, error }, 'the job is recorded but not queued yet; the next sweep queues it');
      });
    },
    handOn: (record) => guarded(() => entries.addAfresh(record, laneOf(record))),
    wake: (jobId) => guarded(async () => void (await entries.wake(jobId))),
    wakeCanceled: (jobId) =>
      guarded(async () => {
        if ((await store.get(jobId))?.cancelRequested) await entries.wake(jobId);
      }),
    wakeNextWaitingJob: () => guarded(() => wakeNextWaitingJob(store, entries)),
    sweep: () => guarded(() => sweepJobs({ connection, store, entries, clock, requeueAfterMs })),
    remove: (jobId) => guarded(() => entries.remove(jobId)),
    load: (waitingJobId) => guarded(() => entries.load(waitingJobId)),
    queue: (lane) => guarded(() => entries.queue(lane)),
    close: () => entries.close(),
  };
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toRedisError(error);
  }
}
