import { setTimeout as delay } from 'node:timers/promises';
import {
  isTerminal,
  type ArtifactStore,
  type Clock,
  type JobStore,
  type LipsyncCore,
  type Logger,
} from '@lipsync/core/host';
import type { LipsyncProducer } from '@lipsync/queue';

/** Longer than the slowest upload may take: a partial file of this age belongs to a killed process. */
const partialFileMaxAgeMs = 12 * 3_600_000;
const reconcileLimitMs = 60_000;

export interface MaintenanceOptions {
  readonly producer: Pick<LipsyncProducer, 'sweep'>;
  readonly core: Pick<LipsyncCore, 'reconcile' | 'sweepSlots'>;
  readonly store: Pick<JobStore, 'get'>;
  readonly artifacts: Pick<ArtifactStore, 'sweep'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/**
 * Runs all maintenance tasks now and every `intervalMs` until the signal aborts. A task that fails is logged and runs
 * again the next time.
 */
export async function runMaintenance(options: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const { logger, intervalMs } = options;
  const tasks = { sweep, reconcile };
  while (!signal.aborted) {
    for (const [task, run] of Object.entries(tasks)) {
      await run(options, signal).catch((error: unknown) =>
        logger.warn({ task, error }, 'maintenance task failed; it runs again later'),
      );
    }
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/**
 * Recovers state that killed processes left behind: requeues jobs that no queue holds, releases slots of ended jobs,
 * deletes partial files. Also fails jobs that were still queued at their deadline.
 */
async function sweep({ producer, core, store, artifacts, clock, logger }: MaintenanceOptions): Promise<void> {
  const { requeued, expired } = await producer.sweep();
  const releasedSlots = await core.sweepSlots(async (jobId) =>
    isTerminal((await store.get(jobId))?.status ?? 'failed'),
  );
  const deletedFiles = await artifacts.sweep({ olderThanMs: partialFileMaxAgeMs, nowMs: clock.nowMs() });
  if (expired > 0) logger.info({ expired }, 'queued jobs failed at their deadline');
  if (requeued + releasedSlots + deletedFiles > 0)
    logger.info({ requeued, releasedSlots, deletedFiles }, 'state of killed processes recovered');
}

/** Settles the cost of operations that outlived their jobs. */
async function reconcile({ core, logger }: MaintenanceOptions, signal: AbortSignal): Promise<void> {
  const settled = await core.reconcile(AbortSignal.any([signal, AbortSignal.timeout(reconcileLimitMs)]));
  if (settled > 0) logger.info({ settled }, 'pending settlements settled');
}
