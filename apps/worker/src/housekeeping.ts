import { setTimeout as delay } from 'node:timers/promises';
import { sweepAbandonedParts, type Clock, type LocalArtifactStoreOptions, type Logger } from '@lipsync/core';
import type { LipsyncProducer } from '@lipsync/queue';

/** Longer than the slowest upload may take: a half-written file this old belongs to a process that is gone. */
const abandonedAfterMs = 12 * 3_600_000;

export interface HousekeepingDependencies {
  readonly producer: Pick<LipsyncProducer, 'sweep'>;
  readonly folders: LocalArtifactStoreOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/**
 * Mends, now and every `intervalMs` until the signal aborts, what killed processes left: jobs that no queue holds are
 * queued again, half-written files are removed. Ends jobs that still wait at their deadline. What fails is logged and
 * tried again the next time.
 */
export async function keepHouse({ producer, folders, clock, logger, intervalMs }: HousekeepingDependencies, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const { requeued, expired } = await producer.sweep();
      const removed = await sweepAbandonedParts(folders, { olderThanMs: abandonedAfterMs, nowMs: clock.nowMs() });
      if (expired > 0) logger.info({ expired }, 'ended jobs that still waited at their deadline');
      if (requeued + removed > 0) logger.info({ requeued, removed }, 'mended what a killed process left');
    } catch (error) {
      logger.warn({ error }, 'housekeeping failed; it is tried again');
    }
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}
