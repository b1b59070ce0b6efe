import { UnrecoverableError, Worker, type Processor } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from '@lipsync/core';
import { queueNames, type JobName, type Lane } from '@lipsync/queue';

export interface LaneWorkerOptions {
  readonly lanes: readonly { readonly lane: Lane; readonly concurrency: number }[];
  readonly processors: Readonly<Record<JobName, Processor>>;
  /** Made by `createWorkerConnection`; the caller ends it after the workers. */
  readonly connection: Redis;
  readonly lockMs: number;
  readonly stalledIntervalMs: number;
  readonly logger: Logger;
}

/** One BullMQ worker per lane; `run` starts it. */
export function createLaneWorkers(options: LaneWorkerOptions): readonly Worker[] {
  return options.lanes.map((lane) => createLaneWorker(options, lane));
}

function createLaneWorker(
  options: LaneWorkerOptions,
  { lane, concurrency }: LaneWorkerOptions['lanes'][number],
): Worker {
  const { connection, lockMs, stalledIntervalMs, logger } = options;
  const worker = new Worker(queueNames[lane], dispatch(options.processors), {
    connection,
    concurrency,
    autorun: false,
    lockDuration: lockMs,
    stalledInterval: stalledIntervalMs,
    // How often a job may come back is counted in its record; BullMQ must not end it behind our back.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
  });
  worker.on('error', (error) => logger.warn({ lane, error }, 'worker trouble'));
  worker.on('stalled', (jobId) => logger.warn({ lane, jobId }, 'job came back from a worker that went away'));
  worker.on('lockRenewalFailed', (jobIds) => {
    logger.warn({ lane, jobIds }, 'lock lost, letting go');
    for (const jobId of jobIds) worker.cancelJob(jobId, 'lock lost');
  });
  return worker;
}

function dispatch(processors: Readonly<Record<string, Processor>>): Processor {
  return (job, token, signal) => {
    const processor = Object.hasOwn(processors, job.name) ? processors[job.name] : undefined;
    if (!processor) throw new UnrecoverableError(`This worker does not know jobs of the kind ${job.name}.`);
    return processor(job, token, signal);
  };
}
