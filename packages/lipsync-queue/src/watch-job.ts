import { setTimeout as delay } from 'node:timers/promises';
import { isTerminal, LipsyncError, type JobRecord, type JobStore } from '@lipsync/core';
import type { JobWatcher } from './job-watcher.ts';

export interface WatchJobDependencies {
  readonly store: Pick<JobStore, 'get'>;
  readonly watcher: JobWatcher;
  /** How often to look without having been told of a change. */
  readonly pollMs: number;
}

/**
 * The record now and after each change, until the job is at its end or `signal` aborts (then it just ends). Changes in
 * quick succession may come as one. Goes on when Redis is away for a while after the first record.
 * Throws `not_found`, and `resource_exhausted` when Redis cannot be reached to begin with.
 */
export async function* watchJob(
  dependencies: WatchJobDependencies,
  jobId: string,
  signal: AbortSignal,
): AsyncGenerator<JobRecord, void> {
  const { store, watcher, pollMs } = dependencies;
  if (!(await store.get(jobId))) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
  const bell = createBell();
  const unsubscribe = await watcher.subscribe(jobId, bell.ring);
  try {
    let seenRevision = -1;
    while (!signal.aborted) {
      const record = await readThroughOutage(store, jobId);
      if (record && record.revision > seenRevision) {
        seenRevision = record.revision;
        yield record;
        if (isTerminal(record.status)) return;
      }
      await bell.wait(pollMs, signal);
    }
  } finally {
    await unsubscribe();
  }
}

async function readThroughOutage(store: Pick<JobStore, 'get'>, jobId: string): Promise<JobRecord | undefined> {
  try {
    return await store.get(jobId);
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'resource_exhausted') return undefined;
    throw error;
  }
}

interface Bell {
  readonly ring: () => void;
  /** Returns at the next ring, at once when it rang since the last wait, or when time or signal end the wait. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
}

function createBell(): Bell {
  let rung = Promise.withResolvers<void>();
  return {
    ring: () => rung.resolve(),
    async wait(timeoutMs, signal) {
      const stop = new AbortController();
      const timer = delay(timeoutMs, undefined, { signal: AbortSignal.any([signal, stop.signal]) }).catch(
        () => undefined,
      );
      await Promise.race([rung.promise, timer]);
      stop.abort();
      rung = Promise.withResolvers<void>();
    },
  };
}
