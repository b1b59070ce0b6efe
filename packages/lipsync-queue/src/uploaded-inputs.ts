import type { Clock } from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { uploadedInputsKey } from './job-keys.ts';

/** An upload becomes the input of a job within seconds; later its process was killed, or Redis could not be reached. */
const unusedAfterMs = 3_600_000;
const pageSize = 100;

/**
 * Files that were uploaded and that no job names yet. A file is noted before it is stored, and the script that stores a
 * job with it removes the note. Every call throws `resource_exhausted` without Redis.
 */
export class UploadedInputs {
  readonly #connection: Redis;
  readonly #clock: Clock;

  constructor({ connection, clock }: { readonly connection: Redis; readonly clock: Clock }) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Notes files, by artifact key, that are about to be stored. */
  async note(keys: readonly string[]): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const entries = keys.flatMap((key) => [nowMs, key]);
    if (entries.length > 0) await guardRedis(() => this.#connection.zadd(uploadedInputsKey, ...entries));
  }

  /** Returns some of the files whose requests have not created a job in time, without the `skipped` oldest ones. */
  listUnused(skipped = 0): Promise<readonly string[]> {
    const dueMs = this.#clock.nowMs() - unusedAfterMs;
    return guardRedis(() =>
      this.#connection.zrangebyscore(uploadedInputsKey, '-inf', dueMs, 'LIMIT', skipped, pageSize),
    );
  }

  /** Removes the notes of files that were deleted, or that a job uses. */
  async forget(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await guardRedis(() => this.#connection.zrem(uploadedInputsKey, ...keys));
  }
}
