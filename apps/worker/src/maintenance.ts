import { setTimeout as delay } from 'node:timers/promises';
import {
  isTerminal,
  type ArtifactStore,
  type Clock,
  type JobStore,
  type LipsyncCore,
  type Logger,
} from '@lipsync/core';
import type { LipsyncProducer } from '@lipsync/queue';

/** Longer than the slowest upload may take: a half-written file this old belongs to a process that is gone. */
const abandonedAfterMs = 12 * 3_600_000;

export interface MaintenanceDependencies {
  readonly producer: Pick<LipsyncProducer, 'sweep'>;
  readonly core: Pick<LipsyncCore, 'reconcile' | 'sweepSlots'>;
  readonly store: Pick<JobStore, 'get'>;
  readonly artifacts: Pick<ArtifactStore, 'sweep'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/** Asking vendors about operations that outlived their jobs takes at most so long at a time. */
const reconcileLimitMs = 60_000;

/**
 * Mends, now and every `intervalMs` until the signal aborts, what killed processes left: jobs that no queue holds are
 * queued again, places of ended jobs freed, half-written files removed. Ends jobs that still wait at their deadline, and
 * settles what operations cost that outlived their jobs. What fails is logged and tried again the next time.
 */
export async function runMaintenance(dependencies: MaintenanceDependencies, signal: AbortSignal): Promise<void> {
  const { logger, intervalMs } = dependencies;
  while (!signal.aborted) {
    for (const chore of [mendJobs, settleBills]) {
      await chore(dependencies, signal).catch((error: unknown) =>
        logger.warn({ error }, 'maintenance failed; it is tried again'),
      );
    }
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

async function mendJobs({ producer, core, store, artifacts, clock, logger }: MaintenanceDependencies): Promise<void> {
  const { requeued, expired } = await producer.sweep();
  const freed = await core.sweepSlots(async (jobId) => isTerminal((await store.get(jobId))?.status ?? 'failed'));
  const removed = await artifacts.sweep({ olderThanMs: abandonedAfterMs, nowMs: clock.nowMs() });
  if (expired > 0) logger.info({ expired }, 'ended jobs that still waited at their deadline');
  if (requeued + freed + removed > 0)
    logger.info(
      { requeued, freed, removed },
      'mended what killed processes left, and freed places that were kept for what nobody waits for',
    );
}

async function settleBills({ core, logger }: MaintenanceDependencies, signal: AbortSignal): Promise<void> {
  const settled = await core.reconcile(AbortSignal.any([signal, AbortSignal.timeout(reconcileLimitMs)]));
  if (settled > 0) logger.info({ settled }, 'settled operations that had outlived their jobs');
}
