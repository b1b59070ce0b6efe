import {
  isUnderWay,
  LipsyncError,
  needsWorkerToEnd,
  newJobRecord,
  newQualityRecord,
  type CallbackAttempt,
  type Clock,
  type IdSource,
  type JobRecord,
  type JobStart,
  type JobStore,
  type NewJob,
  type NewQualityJob,
} from '@lipsync/core/host';
import type { LipsyncOptions } from '@lipsync/core/contract';
import { watchJob, type JobWatcher } from './job-notifications.ts';
import type { LipsyncProducer } from './lipsync-producer.ts';

/** A validated request for lip-sync. */
export type JobSubmission = Omit<NewJob, 'id' | 'nowMs' | 'start'>;

/** A validated request for the quality of a video. */
export type QualitySubmission = Omit<NewQualityJob, 'id' | 'nowMs'>;

export interface QueuedJobsOptions {
  readonly store: JobStore;
  readonly producer: Pick<LipsyncProducer, 'submit' | 'remove' | 'wake'>;
  readonly watcher: JobWatcher;
  readonly clock: Clock;
  readonly ids: IdSource;
  /** Throws when Redis belongs to another installation; called before a job is stored. */
  verifyRedis(): Promise<void>;
  /**
   * Plans a job before it is stored; returns `undecidedStart` in a host without the workers' settings. Throws
   * `not_supported` for a method that is not configured.
   */
  planJob(options: LipsyncOptions): JobStart;
  /** Interval at which a watched job is read without a notification. */
  readonly pollIntervalMs?: number;
}

const defaultPollIntervalMs = 3_000;

/** The client side of the queue: submit, cancel and watch jobs. */
export class QueuedJobs {
  readonly #options: QueuedJobsOptions;

  constructor(options: QueuedJobsOptions) {
    this.#options = options;
  }

  /** Stores and queues a job. Throws `resource_exhausted` when Redis cannot be reached, and what `planJob` throws. */
  submit(submission: JobSubmission): Promise<JobRecord<'lipsync'>> {
    const { planJob } = this.#options;
    return this.#accept((id, nowMs) => newJobRecord({ ...submission, id, nowMs, start: planJob(submission.options) }));
  }

  /** Stores and queues a quality job. Throws `resource_exhausted` when Redis cannot be reached. */
  submitQuality(submission: QualitySubmission): Promise<JobRecord<'quality'>> {
    return this.#accept((id, nowMs) => newQualityRecord({ ...submission, id, nowMs }));
  }

  async #accept<Accepted extends JobRecord>(create: (id: string, nowMs: number) => Accepted): Promise<Accepted> {
    const { clock, ids, producer, verifyRedis } = this.#options;
    await verifyRedis();
    const record = create(ids.jobId(), clock.nowMs());
    await producer.submit(record);
    return record;
  }

  /**
   * Ends a queued job at once and makes a worker stop a job that has started; a finished job stays as it is. Returns
   * the record afterwards. Throws `not_found`.
   */
  async cancel(jobId: string): Promise<JobRecord> {
    const { store, producer, clock } = this.#options;
    // Stored first: every worker that takes the job from now on sees the request.
    const record = await store.append(jobId, { type: 'cancel_requested' });
    if (record.parkedUntilMs !== null) await producer.wake(jobId).catch(ignoreOutage);
    // A worker can stop a remote operation, and delete a kept take.
    if (record.status !== 'queued' || needsWorkerToEnd(record)) return record;
    const removed = await producer.remove(jobId).catch(ignoreOutage);
    return removed ? store.append(jobId, { type: 'canceled', atMs: clock.nowMs() }) : record;
  }

  /** Makes a job that waits for the operation of this attempt check it now. Does nothing for any other job. */
  async hint({ jobId, index }: CallbackAttempt): Promise<void> {
    const { store, producer } = this.#options;
    const record = await store.get(jobId);
    if (record?.kind !== 'lipsync' || record.parkedUntilMs === null) return;
    if (isUnderWay(record) && record.attempts.length === index + 1) await producer.wake(jobId);
  }

  /** Yields the record now and after each change, until the job has ended or `signal` aborts. Throws `not_found`. */
  watch(jobId: string, signal: AbortSignal): AsyncIterable<JobRecord> {
    const { store, watcher, pollIntervalMs = defaultPollIntervalMs } = this.#options;
    return watchJob({ store, watcher, pollIntervalMs }, jobId, signal);
  }
}

/** The cancel request is stored: if Redis fails now, the worker that takes the job ends it. */
function ignoreOutage(error: unknown): false {
  if (LipsyncError.isInstance(error) && error.code === 'resource_exhausted') return false;
  throw error;
}
