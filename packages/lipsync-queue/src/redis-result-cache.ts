import {
  isOfKind,
  isReusable,
  resultKeyOf,
  reusedResultOf,
  type ArtifactStore,
  type JobEvent,
  type JobRecord,
  type JobStore,
  type ResultCache,
  type ResultClaim,
  type ReusedResult,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis, scanSet } from './connection.ts';
import {
  engineVersionKey,
  erasingInputPrefix,
  erasingJobsKey,
  followersPrefix,
  inputJobsPrefix,
  jobKey,
  jobKeyPrefix,
  renderingPrefix,
  resultPrefix,
} from './job-keys.ts';
import { isHeldByPause } from './paused-batches.ts';

export interface RedisResultCacheOptions {
  /** Made by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly store: Pick<JobStore, 'get'>;
  readonly artifacts: Pick<ArtifactStore, 'stat'>;
}

/**
 * Finds the job with an equal result. KEYS: 1 engine version. ARGV: 1 engine version or empty for the stored one,
 * 2 digest of the content.
 */
const findScript = `
local version = ARGV[1] ~= '' and ARGV[1] or redis.call('GET', KEYS[1])
return version and redis.call('GET', '${resultPrefix}' .. version .. ':' .. ARGV[2])
`;

/**
 * Counts a job as a user of the output of another one, which then stays when that one is deleted. May run twice.
 * KEYS: 1 record of the job, 2 record of the other job, 3 set of jobs that are being erased, 4 marker of an output that
 * is being deleted, 5 set of the jobs that use the output. ARGV: 1 job id, 2 id of the other job, 3 artifact key.
 * Returns 1, or 0 when one of the jobs is gone or being erased.
 */
const shareScript = `
if redis.call('EXISTS', KEYS[1], KEYS[2]) < 2 or redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
if redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 or redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 1 then return 0 end
redis.call('SADD', KEYS[5], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[1], 'shares', ARGV[3])
return 1
`;

/**
 * Makes a job the one that makes a result, or a follower of the one that does. A job that has ended, was erased, or
 * follows another one itself makes nothing. May run twice. KEYS: 1 record, 2 id of the job that makes the result. ARGV:
 * 1 job id, 2 id of a job that is not followed, or empty.
 * Returns the id of the job to follow, or nil.
 */
const claimScript = `
if redis.call('HGET', KEYS[1], 'status') ~= 'processing' then return nil end
local leader = redis.call('GET', KEYS[2])
if leader and leader ~= ARGV[1] and leader ~= ARGV[2] then
  local found = redis.call('HMGET', '${jobKeyPrefix}' .. leader, 'status', 'follows')
  if (found[1] == 'queued' or found[1] == 'processing') and not found[2] then
    redis.call('HSET', KEYS[1], 'follows', leader)
    redis.call('SADD', '${followersPrefix}' .. leader, ARGV[1])
    return leader
  end
end
redis.call('HDEL', KEYS[1], 'follows')
redis.call('SET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'leads', KEYS[2])
return nil
`;

/**
 * Results of finished jobs in Redis, by API key, content, options and engine version. An entry names a job; its output is
 * shared by reference. Every call throws `resource_exhausted` without Redis.
 */
export class RedisResultCache implements ResultCache {
  readonly #options: RedisResultCacheOptions;
  #engineVersion: string | undefined;

  constructor(options: RedisResultCacheOptions) {
    this.#options = options;
  }

  get engineVersion(): string | undefined {
    return this.#engineVersion;
  }

  /** Sets the version of the engine of this worker. Hosts without an engine look results up under the version set last. */
  async setEngineVersion(version: string): Promise<void> {
    await guardRedis(() => this.#options.connection.set(engineVersionKey, version));
    this.#engineVersion = version;
  }

  /** Returns the completed job whose result an equal new one can reuse; undefined without one. */
  async find(record: JobRecord<'lipsync'>): Promise<JobRecord<'lipsync'> | undefined> {
    const { connection, store } = this.#options;
    const content = resultKeyOf(record);
    if (content === undefined || record.spec.options.cache === false) return undefined;
    const version = this.#engineVersion ?? '';
    // `as`: the script returns the value of a string key, or nil.
    const id = await guardRedis(
      async () => (await connection.eval(findScript, 1, engineVersionKey, version, content)) as string | null,
    );
    const found = id === null ? undefined : await store.get(id);
    if (!found || !isOfKind(found, 'lipsync') || found.owner !== record.owner || !found.result) return undefined;
    return found.outputDeletedAtMs === undefined ? found : undefined;
  }

  /** Makes a stored job share the output of `source`. Undefined when its record or its file is gone. */
  async share(record: JobRecord<'lipsync'>, source: JobRecord<'lipsync'>): Promise<ReusedResult | undefined> {
    const reused = reusedResultOf(source);
    if (!reused) return undefined;
    const { outputKey } = reused.result;
    const shared = await guardRedis(() =>
      this.#options.connection.eval(
        shareScript,
        5,
        jobKey(record.id),
        jobKey(source.id),
        erasingJobsKey,
        `${erasingInputPrefix}${outputKey}`,
        `${inputJobsPrefix}${outputKey}`,
        record.id,
        source.id,
        outputKey,
      ),
    );
    if (shared !== 1) return undefined;
    // After the output is counted, nothing deletes it any more. One that cannot be read is made again.
    return (await this.#options.artifacts.stat(outputKey).catch(() => undefined)) && reused;
  }

  async claim(record: JobRecord<'lipsync'>): Promise<ResultClaim> {
    const content = resultKeyOf(record);
    if (this.#engineVersion === undefined || content === undefined) return { type: 'render' };
    const rendering = `${renderingPrefix}${this.#engineVersion}:${content}`;
    const first = await this.#follow(record.id, rendering, '');
    // A job of a paused batch may not continue for days.
    const isHeld = first !== null && (await isHeldByPause(this.#options.store, first));
    const jobId = isHeld ? await this.#follow(record.id, rendering, first) : first;
    if (jobId !== null) return { type: 'waiting', jobId };
    // After the claim: the job that made the result before has stored it in the same step in which it ended.
    const source = await this.find(record);
    const reused = source && (await this.share(record, source));
    return reused ? { type: 'reused', ...reused } : { type: 'render' };
  }

  /** Runs the claim script. Returns the id of the job to follow; null if the job makes the result itself. */
  #follow(jobId: string, rendering: string, ignoredId: string): Promise<string | null> {
    const { connection } = this.#options;
    // `as`: the script returns an id, or nil.
    return guardRedis(
      async () => (await connection.eval(claimScript, 2, jobKey(jobId), rendering, jobId, ignoredId)) as string | null,
    );
  }

  /** Wakes the jobs that wait for the result of a job that has ended. */
  async wakeFollowers(jobId: string, producer: { wake(jobId: string): Promise<void> }): Promise<void> {
    const { connection } = this.#options;
    const key = `${followersPrefix}${jobId}`;
    for await (const follower of scanSet(connection, key)) {
      await producer.wake(follower);
      await guardRedis(() => connection.srem(key, follower));
    }
  }
}

/** Redis key under which equal jobs find the result of a job that `event` completes; undefined if they may not. */
export function resultEntryOf(record: JobRecord, event: JobEvent): string | undefined {
  if (event.type !== 'completed' || event.engineVersion === undefined) return undefined;
  if (!isOfKind(record, 'lipsync') || !isReusable(record)) return undefined;
  const content = resultKeyOf(record);
  return content && `${resultPrefix}${event.engineVersion}:${content}`;
}
