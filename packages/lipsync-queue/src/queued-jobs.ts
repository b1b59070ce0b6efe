import {
  isUnderWay,
  LipsyncError,
  newJobRecord,
  type CallbackAttempt,
  type Clock,
  type IdSource,
  type InputReference,
  type JobRecord,
  type JobStart,
  type JobStore,
} from '@lipsync/core';
import type { LipsyncOptions } from '@lipsync/core/contract';
import type { JobWatcher } from './job-watcher.ts';
import type { LipsyncProducer } from './lipsync-producer.ts';
import { watchJob } from './watch-job.ts';

/** What is to be done, checked. */
export interface JobSubmission {
  readonly video: InputReference;
  readonly audio: InputReference;
  readonly options: LipsyncOptions;
  /** Name of the API key that asks, or null where there is none. */
  readonly owner: string | null;
}

/** Jobs as those see them who ask for them: hand in, take back, look on. */
export interface QueuedJobs {
  /** Records a job and queues it. Throws `resource_exhausted` when Redis cannot be reached, and as `planJob` does. */
  submit(submission: JobSubmission): Promise<JobRecord>;
  /**
   * Ends a waiting job at once, asks a worker to stop one that was begun, leaves a finished one alone. Returns the
   * record as it then stands. Throws `not_found`.
   */
  cancel(jobId: string): Promise<JobRecord>;
  /**
   * Has a job that waits for the operation of this attempt look at it now. Any other job is left alone, one that is not
   * there, too.
   */
  hint(attempt: CallbackAttempt): Promise<void>;
  /** The record now and after each change, until `signal` aborts or the job is at its end. Throws `not_found`. */
  watch(jobId: string, signal: AbortSignal): AsyncIterable<JobRecord>;
}

export interface QueuedJobsDependencies {
  readonly store: JobStore;
  readonly producer: Pick<LipsyncProducer, 'submit' | 'remove' | 'wake'>;
  readonly watcher: JobWatcher;
  readonly clock: Clock;
  readonly ids: IdSource;
  /**
   * What is known of a job's plan before it is recorded; `undecidedStart` from whoever does not have the workers' settings.
   * Throws `not_supported` for a method that nothing stands for.
   */
  planJob(options: LipsyncOptions): JobStart;
  /** How often a watched job is looked at without news of a change. */
  readonly pollMs?: number;
}

const defaultPollMs = 3_000;

export function createQueuedJobs(dependencies: QueuedJobsDependencies): QueuedJobs {
  const { store, producer, watcher, clock, ids, planJob, pollMs = defaultPollMs } = dependencies;
  return {
    async submit(submission) {
      const record = newJobRecord({
        id: ids.jobId(),
        nowMs: clock.nowMs(),
        start: planJob(submission.options),
        ...submission,
      });
      await producer.submit(record);
      return record;
    },
    async cancel(jobId) {
      // Recorded first: whoever takes the job up from here on sees that it is not wanted any more.
      const record = await store.append(jobId, { type: 'cancel_requested' });
      if (record.parkedUntilMs !== null) await producer.wake(jobId).catch(outOfReach);
      // What it began elsewhere is for a worker to end.
      if (record.status !== 'queued' || isUnderWay(record)) return record;
      const removed = await producer.remove(jobId).catch(outOfReach);
      return removed ? store.append(jobId, { type: 'canceled', atMs: clock.nowMs() }) : record;
    },
    async hint({ jobId, index }) {
      const record = await store.get(jobId);
      if (record && record.parkedUntilMs !== null && isUnderWay(record) && record.attempts.length === index + 1)
        await producer.wake(jobId);
    },
    watch: (jobId, signal) => watchJob({ store, watcher, pollMs }, jobId, signal),
  };
}

/** The wish is recorded; if Redis goes away now, the worker that gets the job ends it. */
function outOfReach(error: unknown): false {
  if (LipsyncError.isInstance(error) && error.code === 'resource_exhausted') return false;
  throw error;
}
