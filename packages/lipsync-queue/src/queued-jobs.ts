import {
  findRetryObstacle,
  isTerminal,
  isUnderWay,
  LipsyncError,
  needsWorkerToEnd,
  newJobRecord,
  newQualityRecord,
  undecidedStart,
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
import { repeatedJobId, type IdempotencyKeys, type RequestClaim } from './idempotency-keys.ts';
import { watchChanges, watchJob, type JobWatcher, type WatchChangesOptions } from './job-notifications.ts';
import type { RedisJobStore } from './redis-job-store.ts';
import type { RedisResultCache } from './redis-result-cache.ts';
import type { LipsyncProducer } from './lipsync-producer.ts';

/** A validated request for lip-sync. */
export type JobSubmission = Omit<NewJob, 'id' | 'nowMs' | 'start'> & {
  /** Time until the job is expected to end. */
  readonly expectedMs?: number | undefined;
};

/** A validated request for the quality of a video. */
export type QualitySubmission = Omit<NewQualityJob, 'id' | 'nowMs'>;

/** An accepted request. */
export interface Accepted {
  readonly record: JobRecord;
  /** Whether an equal request has created the job. */
  readonly isRepeated: boolean;
}

export interface QueuedJobsOptions {
  readonly store: JobStore & Pick<RedisJobStore, 'createOnce'>;
  readonly results: Pick<RedisResultCache, 'find' | 'share'>;
  readonly producer: Pick<LipsyncProducer, 'submit' | 'submitOnce' | 'remove' | 'requeue' | 'wake'>;
  readonly watcher: JobWatcher;
  readonly keys: Pick<IdempotencyKeys, 'read'>;
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

  /**
   * Stores and queues a job, or returns the job that an equal request with the same claim created. Throws
   * `resource_exhausted` when Redis cannot be reached, what `planJob` throws, and what `findRepeated` throws.
   */
  submit({ expectedMs, ...submission }: JobSubmission, claim?: RequestClaim): Promise<Accepted> {
    const { planJob } = this.#options;
    const create = (id: string, nowMs: number): JobRecord => ({
      ...newJobRecord({ ...submission, id, nowMs, start: planJob(submission.options) }),
      ...(expectedMs !== undefined && { expectedCompletionAtMs: nowMs + expectedMs }),
    });
    return this.#accept(create, claim);
  }

  /** As `submit`, for a quality job. */
  submitQuality(submission: QualitySubmission, claim?: RequestClaim): Promise<Accepted> {
    return this.#accept((id, nowMs) => newQualityRecord({ ...submission, id, nowMs }), claim);
  }

  /**
   * The job that an equal request with the same key created; undefined without one. Throws `idempotency_mismatch` for
   * the key of another request, `idempotency_in_progress` while another request holds it.
   */
  async findRepeated(claim: RequestClaim): Promise<JobRecord | undefined> {
    const { keys, store } = this.#options;
    const id = repeatedJobId(await keys.read(claim), claim);
    return id === undefined ? undefined : store.get(id);
  }

  async #accept(create: (id: string, nowMs: number) => JobRecord, claim: RequestClaim | undefined): Promise<Accepted> {
    const { clock, ids, producer, results, store, verifyRedis } = this.#options;
    await verifyRedis();
    const record = create(ids.jobId(), clock.nowMs());
    const source = record.kind === 'lipsync' ? await results.find(record) : undefined;
    if (record.kind === 'lipsync' && source) return this.#acceptReused(record, source, claim);
    return acceptRecord({ producer, store }, record, claim);
  }

  /** Stores a job that ends at once, because the job `source` has its result. If that is gone by then, queues it. */
  async #acceptReused(
    record: JobRecord<'lipsync'>,
    source: JobRecord<'lipsync'>,
    claim: RequestClaim | undefined,
  ): Promise<Accepted> {
    const { clock, producer, results, store } = this.#options;
    const repeated = claim ? await store.createOnce(record, claim) : await store.create(record);
    if (repeated !== undefined) return findEarlier(store, repeated);
    try {
      const reused = await results.share(record, source);
      const event = reused && ({ type: 'completed', run: record.runs, atMs: clock.nowMs(), ...reused } as const);
      if (event) return { record: await store.append(record.id, event), isRepeated: false };
    } catch (error) {
      // The job is stored, so it is accepted: a worker completes it.
      ignoreOutage(error);
    }
    await producer.requeue(record);
    return { record, isRepeated: false };
  }

  /**
   * Ends a queued job at once and makes a worker stop a job that has started; a finished job stays as it is. Returns
   * the record afterwards. Throws `not_found`.
   */
  cancel(jobId: string): Promise<JobRecord> {
    return cancelJob(this.#options, jobId);
  }

  /**
   * Queues a failed job again under its id, with its attempts and costs. A repeated call for a job that was retried and
   * has not ended changes nothing. Throws `not_found`, `conflict` for a job in another state, for one that is being
   * erased, and while the cost of an earlier attempt is unknown, `inputs_gone`, and what `planJob` throws.
   */
  async retry(jobId: string): Promise<JobRecord> {
    const { clock, store, producer, planJob, verifyRedis } = this.#options;
    await verifyRedis();
    const record = await store.get(jobId);
    if (!record) throw new LipsyncError('not_found', `There is no job ${jobId}.`);
    if (!isTerminal(record.status) && record.retry) return record;
    if (record.status !== 'failed') throw notFailed(record);
    const atMs = clock.nowMs();
    requireRetryable(record, atMs);
    const start = record.kind === 'lipsync' ? planJob(record.spec.options) : { ...undecidedStart, needs: record.needs };
    const retried = await store.append(jobId, { type: 'retried', atMs, start });
    if (isTerminal(retried.status)) throw notFailed(retried);
    await producer.requeue(retried);
    return retried;
  }

  /** Sends a message again now, whatever the state of its delivery. Returns the delivery. Throws `not_found`. */
  async replay(deliveryId: string): Promise<JobRecord> {
    const { clock, store, producer, verifyRedis } = this.#options;
    await verifyRedis();
    const replayed = await store.append(deliveryId, { type: 'replayed', atMs: clock.nowMs() });
    if (replayed.parkedUntilMs !== null) await producer.wake(deliveryId).catch(ignoreOutage);
    else if (replayed.status === 'queued') await producer.requeue(replayed);
    return replayed;
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

  /** Yields what `read` returns now and after each change of a job or of the totals of a batch, as `watchChanges`. */
  watchChanges<State>(options: WatchChangesOptions<State>): AsyncIterable<State> {
    const { watcher, pollIntervalMs = defaultPollIntervalMs } = this.#options;
    return watchChanges({ watcher, pollIntervalMs }, options);
  }
}

/** Where an accepted request is stored. */
interface AcceptingQueue {
  readonly producer: Pick<LipsyncProducer, 'submit' | 'submitOnce'>;
  readonly store: Pick<JobStore, 'get'>;
}

/** Stores and queues a new record, or finds the one that an equal request with the same claim created. */
export async function acceptRecord(
  { producer, store }: AcceptingQueue,
  record: JobRecord,
  claim: RequestClaim | undefined,
): Promise<Accepted> {
  const repeated = claim ? await producer.submitOnce(record, claim) : await producer.submit(record);
  return repeated === undefined ? { record, isRepeated: false } : findEarlier(store, repeated);
}

async function findEarlier(store: Pick<JobStore, 'get'>, id: string): Promise<Accepted> {
  const earlier = await store.get(id);
  if (!earlier) throw new LipsyncError('internal', `The record ${id} of this request cannot be read.`);
  return { record: earlier, isRepeated: true };
}

function notFailed({ status }: JobRecord): LipsyncError {
  return new LipsyncError('conflict', `The job is ${status}. Only a job that has failed can be retried.`);
}

function requireRetryable(record: JobRecord, atMs: number): void {
  switch (findRetryObstacle(record, atMs)) {
    case 'inputs_gone':
      throw new LipsyncError(
        'inputs_gone',
        'An input is no longer available: it was deleted because of its age, or its URL had a query, which is not kept. Send a new request.',
      );
    case 'cost_unknown': {
      const message = 'The cost of an earlier attempt is not known yet. Retry when cost_usd of every attempt is set.';
      throw new LipsyncError('conflict', message);
    }
    case undefined:
  }
}

/** The parts of the queue that cancel a job. */
export interface CancelOptions {
  readonly store: Pick<JobStore, 'append'>;
  readonly producer: Pick<LipsyncProducer, 'remove' | 'wake'>;
  readonly clock: Clock;
}

/** As `QueuedJobs.cancel`. */
export async function cancelJob({ store, producer, clock }: CancelOptions, jobId: string): Promise<JobRecord> {
  // Stored first: every worker that takes the job from now on sees the request.
  const record = await store.append(jobId, { type: 'cancel_requested' });
  if (record.parkedUntilMs !== null) await producer.wake(jobId).catch(ignoreOutage);
  // A worker can stop a remote operation, and delete a kept take.
  if (record.status !== 'queued' || needsWorkerToEnd(record)) return record;
  const removed = await producer.remove(jobId).catch(ignoreOutage);
  return removed ? store.append(jobId, { type: 'canceled', atMs: clock.nowMs() }) : record;
}

/** The cancel request is stored: if Redis fails now, the worker that takes the job ends it. */
function ignoreOutage(error: unknown): false {
  if (LipsyncError.isInstance(error) && error.code === 'resource_exhausted') return false;
  throw error;
}
