import {
  acceptedAtMs,
  memoizeAsync,
  UnreadableRecordError,
  type Clock,
  type JobRecord,
  type JobStore,
} from '@lipsync/core/host';
import { lanes, queuesOfLane, workerLanes, type Lane, type WorkerLane } from './job-catalog.ts';
import type { LipsyncProducer } from './lipsync-producer.ts';

/** Jobs of a lane that no worker has taken. */
export interface LaneWork {
  readonly jobs: number;
  /** Since the acceptance of the oldest one; 0 without jobs. */
  readonly oldestAgeMs: number;
  /** Time that one worker would be occupied with all of them, one after the other. */
  readonly workMs: number;
}

export interface WaitingWorkOptions {
  readonly producer: Pick<LipsyncProducer, 'sampleWaiting'>;
  readonly store: Pick<JobStore, 'get'>;
  /** Time that a worker is occupied with each job, in milliseconds and in order. */
  readonly estimate: (records: readonly JobRecord[]) => Promise<readonly number[]>;
  readonly clock: Clock;
  /** Maximum number of jobs of a lane that are read. */
  readonly sampleSize?: number;
  readonly cacheMs?: number;
}

const defaults = { sampleSize: 100, cacheMs: 2_000 };

/**
 * Work that waits for workers, computed from the queues themselves, so that killed processes cannot falsify it. The number
 * of jobs is exact; the work of a long queue is estimated from the mean of a sample. Concurrent and quickly repeated calls
 * share one answer. Jobs that wait for something other than a worker, such as a concurrency slot, do not count. Every call throws `resource_exhausted` without Redis.
 */
export class WaitingWork {
  readonly #options: Required<WaitingWorkOptions>;
  readonly #read: () => Promise<Readonly<Record<Lane, LaneWork>>>;

  constructor(options: WaitingWorkOptions) {
    this.#options = { ...defaults, ...options };
    const { cacheMs: lifetimeMs } = this.#options;
    this.#read = memoizeAsync(() => this.#readAll(), { retryAfterFailure: true, lifetimeMs });
  }

  read(): Promise<Readonly<Record<Lane, LaneWork>>> {
    return this.#read();
  }

  /** Seconds of work that wait for the workers of each lane. */
  async readSeconds(): Promise<Readonly<Record<WorkerLane, number>>> {
    const work = await this.read();
    const secondsOf = (lane: WorkerLane): number =>
      Math.round(queuesOfLane[lane].reduce((sum, queue) => sum + work[queue].workMs, 0)) / 1_000;
    // `as`: Object.fromEntries widens the keys.
    return Object.fromEntries(workerLanes.map((lane) => [lane, secondsOf(lane)])) as Record<WorkerLane, number>;
  }

  async #readAll(): Promise<Readonly<Record<Lane, LaneWork>>> {
    const entries = await Promise.all(lanes.map(async (lane) => [lane, await this.#readLane(lane)] as const));
    // `as`: Object.fromEntries widens the keys.
    return Object.fromEntries(entries) as Record<Lane, LaneWork>;
  }

  async #readLane(lane: Lane): Promise<LaneWork> {
    const { producer, estimate, clock, sampleSize } = this.#options;
    const { count, ids, firstIds } = await producer.sampleWaiting(lane, sampleSize);
    if (count === 0) return { jobs: 0, oldestAgeMs: 0, workMs: 0 };
    const [sampled, firsts] = await Promise.all([this.#readRecords(ids), this.#readRecords(firstIds)]);
    const timesMs = await estimate(sampled);
    const meanMs = timesMs.reduce((sum, timeMs) => sum + timeMs, 0) / Math.max(1, timesMs.length);
    const oldestAtMs = Math.min(clock.nowMs(), ...[...sampled, ...firsts].map(acceptedAtMs));
    return { jobs: count, oldestAgeMs: clock.nowMs() - oldestAtMs, workMs: Math.round(meanMs * count) };
  }

  /** Without jobs that were deleted meanwhile, and without records that this version cannot read. */
  async #readRecords(ids: readonly string[]): Promise<readonly JobRecord[]> {
    const records = await Promise.all(ids.map((id) => this.#options.store.get(id).catch(ignoreUnreadable)));
    return records.filter((record) => record !== undefined);
  }
}

function ignoreUnreadable(error: unknown): undefined {
  if (error instanceof UnreadableRecordError) return undefined;
  throw error;
}
