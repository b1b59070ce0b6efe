import type { Worker } from 'bullmq';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@lipsync/core';

/** Aborted jobs need a moment to end their processes and to be put back. */
const handBackLimitMs = 10_000;

export interface LifecycleDependencies {
  readonly workers: readonly Worker[];
  /** Aborting it makes every running job hand itself back. */
  readonly stopping: AbortController;
  readonly graceMs: number;
  readonly logger: Logger;
}

/**
 * Stops the workers in two stages: they take no new jobs and finish what they run; after the grace period the rest
 * is aborted and put back for other workers, which go on with it. Resolves when nothing runs any more, or when a job
 * does not let go; then the queue finds it by its expired lock.
 */
export async function stopWorkers({ workers, stopping, graceMs, logger }: LifecycleDependencies): Promise<void> {
  const waited = new AbortController();
  const closed = Promise.all(workers.map((worker) => worker.close())).then(() => waited.abort());
  logger.info({ graceMs }, 'taking no more jobs, finishing those that run');
  await Promise.race([closed, pause(graceMs, waited.signal)]);
  if (!waited.signal.aborted) {
    logger.warn({}, 'handing unfinished jobs back');
    stopping.abort();
    await Promise.race([closed, pause(handBackLimitMs, waited.signal)]);
  }
  if (!waited.signal.aborted) logger.error({ handBackLimitMs }, 'a job did not let go');
  waited.abort();
}

/** Resolves after `ms`, or as soon as the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
