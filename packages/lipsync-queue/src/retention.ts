import type { Clock } from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { collectFailure } from './collect-failures.ts';
import type { JobErasure } from './job-erasure.ts';
import { batchKey, endedJobsPrefix, retainedData, type RetainedData } from './job-keys.ts';
import { indexStoredJobs } from './stored-jobs.ts';

/** Hash of the numbers of jobs whose data were deleted because of their age, by data. */
const deletedKey = 'lipsync:retention-deleted';
const batchSize = 50;

/** Ages in milliseconds, from the end of a job, at which its data are deleted; null for none. */
export interface RetentionAges {
  readonly inputsMs: number | null;
  readonly outputsMs: number | null;
  /** The whole job, with what is left of its files. */
  readonly recordsMs: number | null;
}

export interface RetentionOptions {
  /** Made by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly jobs: Pick<JobErasure, 'erase' | 'deleteFiles'>;
  readonly ages: RetentionAges;
  readonly clock: Clock;
}

/** Numbers of jobs by data. */
export type RetentionCounts = Readonly<Record<RetainedData, number>>;

/**
 * Deletes inputs, outputs and records of jobs at an age that counts from the end of the job. A job stays listed until its
 * data are deleted, so that a run that was killed is continued by the next one.
 */
export class Retention {
  readonly #options: RetentionOptions;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /**
   * Deletes what is due until the signal aborts, and returns the number of jobs by data. One that fails does not keep
   * others from being deleted; its error is thrown at the end. Throws `resource_exhausted` without Redis.
   */
  async run(signal: AbortSignal): Promise<RetentionCounts> {
    const { connection, ages } = this.#options;
    const { inputsMs, outputsMs, recordsMs } = ages;
    const counts = { inputs: 0, outputs: 0, records: 0 };
    if (inputsMs === null && outputsMs === null && recordsMs === null) return counts;
    await indexStoredJobs(connection);
    const failures: unknown[] = [];
    // Records first: what is erased with its record is not deleted on its own before.
    for (const [data, ageMs] of [
      ['records', recordsMs],
      ['inputs', inputsMs],
      ['outputs', outputsMs],
    ] as const) {
      if (ageMs !== null) counts[data] = await this.#deleteDue(data, ageMs, { signal, failures });
    }
    if (failures.length > 0) throw failures[0];
    return counts;
  }

  async #deleteDue(
    data: RetainedData,
    ageMs: number,
    { signal, failures }: { readonly signal: AbortSignal; readonly failures: unknown[] },
  ): Promise<number> {
    const { connection, clock } = this.#options;
    const key = `${endedJobsPrefix}${data}`;
    let deleted = 0;
    let skipped = 0;
    while (!signal.aborted) {
      const dueMs = clock.nowMs() - ageMs;
      const ids = await guardRedis(() => connection.zrangebyscore(key, '-inf', dueMs, 'LIMIT', skipped, batchSize));
      if (ids.length === 0) break;
      for (const id of ids) {
        if (signal.aborted) break;
        const isDone = await this.#delete(data, id).catch((error: unknown) => collectFailure(failures, error));
        if (isDone !== true) {
          skipped += 1;
          continue;
        }
        await guardRedis(() => connection.multi().zrem(key, id).hincrby(deletedKey, data, 1).exec());
        deleted += 1;
      }
    }
    return deleted;
  }

  /** False if it has to be repeated later. */
  async #delete(data: RetainedData, id: string): Promise<boolean> {
    const { connection, jobs, clock } = this.#options;
    if (data === 'records') {
      // The jobs of a batch are due before it, except those that were retried after its end.
      if (await guardRedis(() => connection.exists(batchKey('lipsync', id)))) return false;
      return (await jobs.erase(id)) === 'erased';
    }
    await jobs.deleteFiles(id, data === 'inputs' ? 'inputs' : 'output', clock.nowMs());
    return true;
  }
}

/** Returns the number of jobs whose data were deleted because of their age, since the installation began. */
export async function readRetentionCounts(connection: Redis): Promise<RetentionCounts> {
  const stored = await guardRedis(() => connection.hmget(deletedKey, ...retainedData));
  const [inputs = 0, outputs = 0, records = 0] = stored.map((value) => Number(value ?? 0));
  return { inputs, outputs, records };
}
