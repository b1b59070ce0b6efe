import { isTerminal, type Clock, type JobRecord, type JobStore, type Logger } from '@lipsync/core';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { toRedisError } from './connection.ts';
import { jobCatalogue, laneOf, lanes, queueNames, queuePriority, type JobPayload, type Lane } from './job-catalogue.ts';

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
   * that, `requeueMissing` makes up for it. Throws `resource_exhausted` when the record could not be stored.
   */
  submit(record: JobRecord, lane?: Lane): Promise<void>;
  /**
   * Queues every unfinished job that no queue is going to run: never queued, or ended in the queue while its record is
   * not at an end. Safe to run from several processes at once and beside workers. Returns how many it queued.
   */
  requeueMissing(): Promise<number>;
  /** Takes a job out of the queues, so that none runs it; false, and nothing taken, when a worker holds it. */
  remove(jobId: string): Promise<boolean>;
  /** The queue of a lane, e.g. for a page about queues. Connects with its first command. */
  queue(lane: Lane): Promise<LipsyncQueueHandle>;
  close(): Promise<void>;
}

export type LipsyncQueueHandle = Queue<JobPayload<'lipsync'>, unknown, 'lipsync'>;

const defaultRequeueAfterMs = 5_000;
const sweepBatchSize = 50;
const deadStates: ReadonlySet<string> = new Set(['completed', 'failed', 'unknown']);

export function createProducer(dependencies: LipsyncProducerDependencies): LipsyncProducer {
  const { store, clock, logger, requeueAfterMs = defaultRequeueAfterMs } = dependencies;
  const queues = createQueues(dependencies);

  async function add(record: JobRecord, lane: Lane): Promise<void> {
    const queue = await queues.get(lane);
    const priority = queuePriority(record.options.priority);
    await queue.add('lipsync', { jobId: record.id }, { ...jobCatalogue.lipsync.options, jobId: record.id, priority });
  }

  async function requeueWhenMissing(id: string): Promise<boolean> {
    const before = await store.get(id);
    if (!before || isTerminal(before.status) || before.createdAtMs > clock.nowMs() - requeueAfterMs) return false;
    for (const lane of lanes) {
      const state = await (await queues.get(lane)).getJobState(id);
      if (!deadStates.has(state)) return false;
    }
    // Read again: a worker may have finished both record and queue job between the two looks.
    const record = await store.get(id);
    if (!record || isTerminal(record.status)) return false;
    // An ended queue job keeps its id taken. Should another sweep have queued the job afresh just now, this takes it out
    // before it starts, or finds it held by a worker.
    if (!(await removeUnheld(id))) return false;
    await add(record, laneOf(record));
    return true;
  }

  /** BullMQ answers 0 for a job that a worker holds, and 1 also for one that it does not know. */
  async function removeUnheld(jobId: string): Promise<boolean> {
    const answers = await Promise.all(lanes.map(async (lane) => (await queues.get(lane)).remove(jobId)));
    return !answers.includes(0);
  }

  return {
    async submit(record, lane = laneOf(record)) {
      await store.create(record);
      await add(record, lane).catch((error: unknown) => {
        logger.warn({ jobId: record.id, error }, 'the job is recorded but not queued yet; the next sweep queues it');
      });
    },
    requeueMissing: () => guarded(async () => {
      const ids = await store.unfinished();
      let requeued = 0;
      for (let start = 0; start < ids.length; start += sweepBatchSize) {
        const added = await Promise.all(ids.slice(start, start + sweepBatchSize).map(requeueWhenMissing));
        requeued += added.filter(Boolean).length;
      }
      return requeued;
    }),
    remove: (jobId) => guarded(() => removeUnheld(jobId)),
    queue: (lane) => guarded(() => queues.get(lane)),
    close: () => queues.close(),
  };
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toRedisError(error);
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
function createQueues({ connection, logger }: LipsyncProducerDependencies): Queues {
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
