import { setTimeout as delay } from 'node:timers/promises';
import type { JobRunner, Logger, SegmentHelper } from '@lipsync/core/host';
import {
  createWorkerConnection,
  queueNames,
  queueTelemetry,
  type JobName,
  type Lane,
  type LipsyncProducer,
  type RedisConnections,
} from '@lipsync/queue';
import { Worker, type Job, type Processor } from 'bullmq';
import type { Redis } from 'ioredis';
import type { WorkerConfig } from './config.ts';
import { createJobProcessor, leaveToLaterVersion, type EntryProcessor } from './job-processor.ts';
import { withRenewedLock } from './lock-renewal.ts';
import { createSegmentProcessor } from './segment-processor.ts';

/** Time that aborted jobs have to end their processes and to go back into the queue. */
const handBackLimitMs = 10_000;
/** The same without Redis: only their processes can be ended. */
const handBackWithoutRedisLimitMs = 3_000;
const outagePollMs = 200;
const refusedClaimPauseMs = 1_000;

export type LaneConfig = Omit<WorkerConfig, 'core' | 'probes' | 'retention' | 'segmentMs'>;

export interface LaneWorkersOptions {
  readonly config: LaneConfig;
  readonly runner: Pick<JobRunner, 'run'>;
  /** Without it, offered segments are left to other workers. */
  readonly segmentHelper?: Pick<SegmentHelper, 'help'> | undefined;
  readonly producer: LipsyncProducer;
  readonly redis: Pick<RedisConnections, 'report' | 'serves' | 'verify' | 'clock'>;
  /** That of `RedisConnections`. */
  readonly logger: Logger;
}

/** One BullMQ worker per configured lane. `start` once, then `stop`. */
export class LaneWorkers {
  readonly #options: LaneWorkersOptions;
  readonly #connection: Redis;
  readonly #workers: readonly Worker[];
  /** Aborting it makes every running job hand itself back. */
  readonly #stopping = new AbortController();

  constructor(options: LaneWorkersOptions) {
    const { config, runner, segmentHelper, producer, redis } = options;
    this.#options = options;
    this.#connection = createWorkerConnection({
      url: config.redisUrl,
      onError: (error) => void redis.report(error),
    });
    const shared = { producer, verifyRedis: () => redis.verify(), stopping: this.#stopping.signal };
    const runRecordedJob = createJobProcessor({ ...shared, runner, clock: redis.clock });
    const processors = {
      lipsync: runRecordedJob,
      quality: runRecordedJob,
      webhook: runRecordedJob,
      ...(segmentHelper && { segments: createSegmentProcessor({ ...shared, helper: segmentHelper }) }),
    };
    this.#workers = config.lanes.map((lane) =>
      createLaneWorker({ ...options, ...lane, processors, connection: this.#connection }),
    );
  }

  /** Resolves when all lanes take jobs, which is not before Redis can be reached. */
  async start(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.waitUntilReady()));
    for (const worker of this.#workers) {
      worker.run().catch((error: unknown) => this.#options.logger.error({ error }, 'lane worker stopped unexpectedly'));
    }
  }

  /**
   * Stops in two stages: the workers take no new jobs and finish the running ones; after the grace period, or at once
   * without Redis, the remaining jobs are aborted and put back into the queue for other workers. Resolves when no job
   * runs, or when one ignores the abort; the queue recovers that job when its lock expires.
   */
  async stop(): Promise<void> {
    const { config, logger, redis } = this.#options;
    const waited = new AbortController();
    const closed = Promise.all(this.#workers.map((worker) => worker.close())).then(() => waited.abort());
    logger.info({ graceMs: config.shutdownGraceMs }, 'no longer taking jobs; finishing running jobs');
    await Promise.race([closed, this.#endOfGrace(waited.signal)]);
    if (!waited.signal.aborted) {
      const limitMs = redis.serves ? handBackLimitMs : handBackWithoutRedisLimitMs;
      logger.warn({ limitMs }, 'grace period over; handing back running jobs');
      this.#stopping.abort();
      // Commands that wait for Redis fail only when their connection is closed.
      if (!redis.serves) for (const worker of this.#workers) void worker.disconnect();
      await Promise.race([closed, pause(limitMs, waited.signal)]);
    }
    if (!waited.signal.aborted) logger.error({}, 'a job did not stop in time');
    waited.abort();
    this.#connection.disconnect();
  }

  /** Resolves after the grace period. Without Redis it ends early, because a job that completes cannot be recorded. */
  async #endOfGrace(signal: AbortSignal): Promise<void> {
    const { config, redis } = this.#options;
    const deadlineMs = performance.now() + config.shutdownGraceMs;
    while (!signal.aborted && redis.serves && performance.now() < deadlineMs) await pause(outagePollMs, signal);
  }
}

interface LaneWorkerOptions extends LaneWorkersOptions {
  readonly lane: Lane;
  readonly concurrency: number;
  /** One per kind of job in the catalog: a kind without a processor does not compile. */
  readonly processors: Readonly<Record<Exclude<JobName, 'segments'>, EntryProcessor>> & {
    readonly segments?: EntryProcessor;
  };
  readonly connection: Redis;
}

function createLaneWorker(options: LaneWorkerOptions): Worker {
  const { config, lane, concurrency, connection, logger } = options;
  const worker = new PacedWorker(queueNames[lane], dispatch(options), {
    connection,
    concurrency,
    autorun: false,
    ...queueTelemetry(),
    lockDuration: config.lockMs,
    // `dispatch` renews the lock of each run.
    skipLockRenewal: true,
    stalledInterval: config.stalledIntervalMs,
    // The job record counts crashes and decides when to give up; BullMQ must not end a job first.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
  });
  worker.on('error', (error) => logger.warn({ lane, error }, 'lane worker error'));
  worker.on('stalled', (jobId) => logger.warn({ lane, jobId }, 'job stalled: its worker disappeared; requeued'));
  return worker;
}

/**
 * BullMQ repeats a claim that Redis refuses without a pause: a full disk would cost thousands of commands per second.
 */
class PacedWorker extends Worker {
  protected override async moveToActive(token: string, name?: string): ReturnType<Worker['moveToActive']> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await delay(refusedClaimPauseMs);
      throw error;
    }
  }
}

/** BullMQ claims every entry with a token. */
function dispatch({ config, lane, processors, logger }: LaneWorkerOptions): Processor {
  const processorOf: Readonly<Record<string, EntryProcessor | undefined>> = processors;
  return (job: Job, token = '') => {
    const processor = Object.hasOwn(processors, job.name) ? processorOf[job.name] : undefined;
    if (!processor) return leaveToLaterVersion(job, token);
    const jobId = job.id;
    return withRenewedLock(job, token, (lockLost) => processor(job, token, lockLost), {
      lockMs: config.lockMs,
      onLost: () => logger.warn({ lane, jobId }, 'the lock of the job is lost; aborting the local run'),
      onError: (error) => logger.warn({ lane, jobId, error }, 'the lock of the job could not be renewed'),
    });
  };
}

/** Resolves after `ms`, or as soon as the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
