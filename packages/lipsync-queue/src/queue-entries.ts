import type { JobRecord, Load, Logger } from '@lipsync/core';
import { Queue, type Job, type JobType } from 'bullmq';
import type { Redis } from 'ioredis';
import { jobCatalogue, lanes, queueNames, queuePriority, type JobPayload, type Lane } from './job-catalogue.ts';

export type LipsyncQueueHandle = Queue<JobPayload<'lipsync'>, unknown, 'lipsync'>;

/** What the lanes' queues hold of our jobs. Throws what Redis throws. */
export interface QueueEntries {
  add(record: JobRecord, lane: Lane): Promise<void>;
  /** As `add`, in place of an entry of the same job that has ended there. */
  addAfresh(record: JobRecord, lane: Lane): Promise<void>;
  /** Moves a sleeping entry of the job to the others that wait to be taken; false where none sleeps, or another woke it first. */
  wake(jobId: string): Promise<boolean>;
  /** The jobs that sleep in a lane, oldest first; of very many, those that wake soonest. */
  sleeping(lane: Lane): Promise<readonly string[]>;
  /** Takes a job out of all queues; false, and nothing taken, when a worker holds it. */
  remove(jobId: string): Promise<boolean>;
  /** Ids of all jobs that some queue is going to run or is running: one question per lane, however many there are. */
  live(): Promise<ReadonlySet<string>>;
  isLive(jobId: string): Promise<boolean>;
  /**
   * A few counts, however many there are; with a job that sleeps in line itself, without those behind it. A worker counts
   * as one that renders one job at a time.
   */
  load(waitingJobId?: string): Promise<Load>;
  queue(lane: Lane): Promise<LipsyncQueueHandle>;
  close(): Promise<void>;
}

export interface QueueEntriesDependencies {
  readonly connection: Redis;
  readonly logger: Logger;
}

const liveTypes: JobType[] = ['wait', 'prioritized', 'delayed', 'active', 'waiting-children'];
const deadStates: ReadonlySet<string> = new Set(['completed', 'failed', 'unknown']);

export function createQueueEntries(dependencies: QueueEntriesDependencies): QueueEntries {
  const queues = createQueues(dependencies);
  const fromAll = <Answer>(ask: (queue: LipsyncQueueHandle) => Promise<Answer>): Promise<Answer[]> =>
    Promise.all(lanes.map(async (lane) => ask(await queues.get(lane))));
  const add = async (queue: LipsyncQueueHandle, { id: jobId, spec }: JobRecord): Promise<void> => {
    const priority = queuePriority(spec.options.priority);
    await queue.add('lipsync', { jobId }, { ...jobCatalogue.lipsync.options, jobId, priority });
  };
  return {
    async add(record, lane) {
      await add(await queues.get(lane), record);
    },
    async addAfresh(record, lane) {
      const queue = await queues.get(lane);
      // An ended entry keeps its id taken; one that a worker holds stays, and the record tells that worker what to do.
      await queue.remove(record.id);
      await add(queue, record);
    },
    async wake(jobId) {
      const woken = await fromAll(async (queue) => {
        const job = await queue.getJob(jobId);
        return job !== undefined && (await job.isDelayed()) && promote(job);
      });
      return woken.includes(true);
    },
    sleeping: async (lane) => oldestSleeping(await queues.get(lane)),
    async remove(jobId) {
      // BullMQ answers 0 for a job that a worker holds, and 1 also for one that it does not know.
      const answers = await fromAll((queue) => queue.remove(jobId));
      return !answers.includes(0);
    },
    async live() {
      const ids = await fromAll((queue) => queue.getRanges(liveTypes, 0, -1));
      return new Set(ids.flat());
    },
    async isLive(jobId) {
      const states = await fromAll((queue) => queue.getJobState(jobId));
      return states.some((state) => !deadStates.has(state));
    },
    async load(waitingJobId) {
      const [cloud, render] = [await queues.get('cloud'), await queues.get('render')];
      const remoteJobs =
        waitingJobId === undefined
          ? await cloud.getDelayedCount()
          : (await oldestSleeping(cloud)).filter((id) => id < waitingJobId).length;
      const { wait = 0, prioritized = 0, active = 0 } = await render.getJobCounts('wait', 'prioritized', 'active');
      return {
        remoteJobs,
        inlineJobs: wait + prioritized + active,
        inlineSeats: Math.max(1, await render.getWorkersCount()),
      };
    },
    queue: (lane) => queues.get(lane),
    close: () => queues.close(),
  };
}

/** Sleeping jobs that are seen at most: no more than this is read of a longer line. */
const longestLine = 10_000;

async function oldestSleeping(queue: LipsyncQueueHandle): Promise<readonly string[]> {
  const ids = await queue.getRanges(['delayed'], 0, longestLine - 1, true);
  // Ids sort by time.
  return ids.toSorted();
}

/** False where somebody else has woken it in the meantime. */
async function promote(job: Job): Promise<boolean> {
  try {
    await job.promote();
    return true;
  } catch (error) {
    if (await job.isDelayed()) throw error;
    return false;
  }
}

interface Queues {
  get(lane: Lane): Promise<LipsyncQueueHandle>;
  close(): Promise<void>;
}

/**
 * One BullMQ queue per lane, made when first needed. A queue whose first contact with Redis fails stays unusable for
 * good, so it is thrown away and the next call makes another.
 */
function createQueues({ connection, logger }: QueueEntriesDependencies): Queues {
  const queues = new Map<Lane, Promise<LipsyncQueueHandle>>();

  async function open(lane: Lane): Promise<LipsyncQueueHandle> {
    const queue: LipsyncQueueHandle = new Queue(queueNames[lane], { connection, skipWaitingForReady: true });
    // An error event without a listener would end the process; the connection's own listener has warned already.
    queue.on('error', (error) => logger.debug({ lane, error }, 'queue connection trouble'));
    try {
      await queue.waitUntilReady();
      return queue;
    } catch (error) {
      queues.delete(lane);
      await queue.close().catch(() => undefined);
      throw error;
    }
  }

  return {
    get(lane) {
      const opened = queues.get(lane) ?? open(lane);
      queues.set(lane, opened);
      return opened;
    },
    async close() {
      const opened = await Promise.allSettled(queues.values());
      queues.clear();
      await Promise.all(opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value.close()] : [])));
    },
  };
}
