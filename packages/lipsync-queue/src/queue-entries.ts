import type { JobRecord, Load, Logger } from '@lipsync/core/host';
import { Queue, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  jobCatalog,
  lanes,
  queueNames,
  queuePriority,
  singlePriorities,
  type JobName,
  type JobPayload,
  type Lane,
} from './job-catalog.ts';
import { queueTelemetry } from './queue-telemetry.ts';

export type LipsyncQueueHandle = Queue<JobPayload<JobName>, unknown, JobName>;

/** The sorted sets with all entries that wait, except those whose worker was lost. */
const waitingSets = ['prioritized', 'delayed'] as const;
/** The lane with the most jobs first, so that few lanes are searched. */
const lanesByLength = ['render', 'cloud', 'fetch', 'webhook'] as const satisfies readonly Lane[];
const endedStates: ReadonlySet<string> = new Set(['completed', 'failed', 'unknown']);

/** Ids of offered segments begin with it; those of jobs do not. */
const offerPrefix = 'segments-';

/** BullMQ orders by priority times this plus a counter. */
const scoreOfPriority = 2 ** 32;

/** Far more than offers wait: they are read in one page. */
const offersPerPage = 1_000;

/** Jobs of a lane that no worker has taken. */
export interface WaitingSample {
  readonly count: number;
  /** Spread over the queue if there are more. */
  readonly ids: readonly string[];
  /** The single jobs that are first in the order of their priority; empty if `ids` has all jobs. */
  readonly firstIds: readonly string[];
}

/** The BullMQ entries of our jobs, over all lanes. Every call rejects with the error of the Redis client. */
export class QueueEntries {
  readonly #queues: LaneQueues;
  readonly #connection: Redis;

  constructor(options: { readonly connection: Redis; readonly logger: Logger }) {
    this.#connection = options.connection;
    this.#queues = new LaneQueues(options);
  }

  async add(record: JobRecord, lane: Lane): Promise<void> {
    await addEntry(await this.queue(lane), record);
  }

  /**
   * Offers segments of a job to up to `count` other workers, behind what waits with the same priority. An offer that
   * already waits is not repeated.
   */
  async offerSegments(record: JobRecord<'lipsync'>, count: number): Promise<void> {
    const queue = await this.queue('render');
    const { id: jobId, spec, batch } = record;
    const priority = queuePriority(spec.options.priority, batch?.item);
    for (let number = 1; number <= count; number += 1) {
      const options = { ...jobCatalog.segments.options, jobId: `${offerPrefix}${jobId}-${number}`, priority };
      await queue.add('segments', { jobId }, options);
    }
  }

  /** As `add`, in place of an entry of the same job that has ended in that lane. */
  async replaceEnded(record: JobRecord, lane: Lane): Promise<void> {
    const queue = await this.queue(lane);
    // An ended entry keeps its id taken. An entry that a worker holds stays: its worker reads the record.
    await queue.remove(record.id);
    await addEntry(queue, record);
  }

  /**
   * Promotes a delayed entry of the job, so that a worker takes it; false when there is none or another call did it.
   */
  async wake(jobId: string): Promise<boolean> {
    const woken = await this.#inEveryLane(async (queue) => {
      const job = await queue.getJob(jobId);
      return job !== undefined && (await job.isDelayed()) && promote(job);
    });
    return woken.includes(true);
  }

  /** Removes a job from all lanes; false, with nothing removed, when a worker holds it. */
  async remove(jobId: string): Promise<boolean> {
    // BullMQ answers 0 for a job that a worker holds, and 1 also for an unknown job.
    const answers = await this.#inEveryLane((queue) => queue.remove(jobId));
    return !answers.includes(0);
  }

  /**
   * Returns the jobs that wait in no lane, among them jobs that run and jobs whose worker was lost; `isLive` is true
   * for both. Sends at most two commands per lane, and none after the last job was found.
   */
  async filterNotWaiting(jobIds: readonly string[]): Promise<readonly string[]> {
    let rest = jobIds;
    for (const set of waitingSets) {
      for (const lane of lanesByLength) {
        if (rest.length === 0) return rest;
        const scores = await this.#connection.zmscore((await this.queue(lane)).toKey(set), ...rest);
        rest = rest.filter((_, index) => (scores[index] ?? null) === null);
      }
    }
    return rest;
  }

  async isLive(jobId: string): Promise<boolean> {
    const states = await this.#inEveryLane((queue) => queue.getJobState(jobId));
    return states.some((state) => !endedStates.has(state));
  }

  /** The work of the render lane, from a few counters. A worker counts as one that renders one job at a time. */
  async load(): Promise<Load> {
    const render = await this.queue('render');
    const { wait = 0, prioritized = 0, active = 0 } = await render.getJobCounts('wait', 'prioritized', 'active');
    return { inlineJobs: wait + prioritized + active, inlineSeats: Math.max(1, await render.getWorkersCount()) };
  }

  /**
   * The jobs of a lane that a worker could take now: all of them, or a sample if there are more than `limit`. The cost
   * does not depend on the length of the queue.
   */
  async sampleWaiting(lane: Lane, limit: number): Promise<WaitingSample> {
    const queue = await this.queue(lane);
    const { wait = 0, prioritized = 0 } = await queue.getJobCounts('wait', 'prioritized');
    const count = wait + prioritized;
    if (count <= limit) {
      const ids = withoutOffers(await queue.getRanges(['wait', 'prioritized'], 0, -1));
      return { count: ids.length, ids, firstIds: [] };
    }
    // Every job has a priority, so `wait` has only jobs whose worker was lost.
    if (wait > prioritized) return { count, ids: await queue.getRanges(['wait'], 0, limit - 1), firstIds: [] };
    const key = queue.toKey('prioritized');
    const ranks = sampleRanks(prioritized, limit);
    const sampled = ranks.map((rank) => this.#connection.zrange(key, rank, String(rank)));
    const firsts = singlePriorities.map((priority) => {
      const [lowest, highest] = [priority, priority + 1].map((value) => value * scoreOfPriority);
      return this.#connection.zrange(key, lowest ?? 0, `(${highest}`, 'BYSCORE', 'LIMIT', 0, 1);
    });
    const [ids, firstIds] = await Promise.all([Promise.all(sampled), Promise.all(firsts)]);
    return { count, ids: withoutOffers(ids.flat()), firstIds: withoutOffers(firstIds.flat()) };
  }

  /** Returns whether a job waits for a render worker with this BullMQ priority, or a more urgent one. */
  async hasWaitingRender(priority: number): Promise<boolean> {
    const queue = await this.queue('render');
    const key = queue.toKey('prioritized');
    const limit = `(${(priority + 1) * scoreOfPriority}`;
    const [first, urgent] = await Promise.all([
      // Jobs whose worker was lost come before all others.
      queue.getRanges(['wait'], 0, offersPerPage - 1),
      this.#connection.zrange(key, '-inf', limit, 'BYSCORE', 'LIMIT', 0, offersPerPage),
    ]);
    return withoutOffers([...first, ...urgent]).length > 0;
  }

  queue(lane: Lane): Promise<LipsyncQueueHandle> {
    return this.#queues.get(lane);
  }

  close(): Promise<void> {
    return this.#queues.close();
  }

  #inEveryLane<Answer>(read: (queue: LipsyncQueueHandle) => Promise<Answer>): Promise<Answer[]> {
    return Promise.all(lanes.map(async (lane) => read(await this.queue(lane))));
  }
}

/**
 * Returns one rank in each of `limit` equal parts of a queue of `count` jobs. Equal distances could coincide with a
 * period of the queue, such as the interleaved jobs of several batches; steps of the golden ratio coincide with none.
 * Pure.
 */
function sampleRanks(count: number, limit: number): readonly number[] {
  const ratio = (Math.sqrt(5) - 1) / 2;
  return Array.from({ length: limit }, (_, index) => Math.floor(((index + ((index * ratio) % 1)) * count) / limit));
}

/**
 * Offers are no jobs. There are fewer than workers, so that they do not distort a count that is not read completely.
 */
function withoutOffers(ids: readonly string[]): readonly string[] {
  return ids.filter((id) => !id.startsWith(offerPrefix));
}

/** A batch has no entry: its jobs have. */
async function addEntry(queue: LipsyncQueueHandle, record: JobRecord): Promise<void> {
  if (record.kind === 'batch') return;
  const { id: jobId, kind, batch } = record;
  const priority = queuePriority(record.kind === 'webhook' ? 0 : record.spec.options.priority, batch?.item);
  await queue.add(kind, { jobId }, { ...jobCatalog[kind].options, jobId, priority });
}

/** False when another process promoted the entry first. */
async function promote(job: Job): Promise<boolean> {
  try {
    await job.promote();
    return true;
  } catch (error) {
    if (await job.isDelayed()) throw error;
    return false;
  }
}

/**
 * One BullMQ queue per lane, opened on first use. A queue whose first contact with Redis fails stays unusable, so it is
 * discarded and the next call opens another.
 */
class LaneQueues {
  readonly #connection: Redis;
  readonly #logger: Logger;
  readonly #queues = new Map<Lane, Promise<LipsyncQueueHandle>>();

  constructor({ connection, logger }: { readonly connection: Redis; readonly logger: Logger }) {
    this.#connection = connection;
    this.#logger = logger;
  }

  get(lane: Lane): Promise<LipsyncQueueHandle> {
    const queue = this.#queues.get(lane) ?? this.#open(lane);
    this.#queues.set(lane, queue);
    return queue;
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#queues.values());
    this.#queues.clear();
    await Promise.all(opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value.close()] : [])));
  }

  async #open(lane: Lane): Promise<LipsyncQueueHandle> {
    const queue: LipsyncQueueHandle = new Queue(queueNames[lane], {
      connection: this.#connection,
      skipWaitingForReady: true,
      ...queueTelemetry(),
    });
    // An 'error' event without a listener would end the process; the connection's own listener logs a warning.
    queue.on('error', (error) => this.#logger.debug({ lane, error }, 'queue connection error'));
    try {
      await queue.waitUntilReady();
      return queue;
    } catch (error) {
      this.#queues.delete(lane);
      await queue.close().catch(() => undefined);
      throw error;
    }
  }
}
