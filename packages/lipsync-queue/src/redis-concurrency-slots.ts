import { randomUUID } from 'node:crypto';
import {
  createConcurrencySlots,
  defaultSlotPriority,
  slotHoldersPrefix,
  sweepSlots,
  type Clock,
  type ConcurrencySlots,
  type SlotHolder,
  type SlotRequest,
  type StateStore,
  type SweptSlots,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { documentFormat, documentIndexKey, documentKey, RedisStateStore } from './redis-state-store.ts';

/** Hash of the provider that each waiting job waits for. */
export const waitingProvidersKey = 'lipsync:slot-waiting';
/** Prefix of the sorted sets of waiting jobs, one per provider: the score is the priority, and job ids sort by time. */
export const waitingSetPrefix = 'lipsync:slot-waiting:';
const markPrefix = 'lipsync:slot-release:';
/** Longer than the client keeps resending one command. */
const markLifetimeMs = 60_000;

/** Functions that the scripts below share. `holders` is a state document: a JSON list of jobId, sinceMs, untilMs. */
const holderFunctions = `
local function read_holders(key, format)
  local found = redis.call('HMGET', key, 'format', 'document')
  if not found[2] then return {} end
  if found[1] ~= format then error('The slots were stored by another version of this service.') end
  return cjson.decode(found[2])
end
local function write_holders(key, index, member, version, format, holders)
  if #holders == 0 then
    redis.call('DEL', key)
    redis.call('ZREM', index, member)
  else
    redis.call('HSET', key, 'version', version, 'format', format, 'document', cjson.encode(holders))
    redis.call('ZADD', index, 0, member)
  end
end
local function take_next(waiting, providers)
  local popped = redis.call('ZPOPMIN', waiting)
  if not popped[1] then return false end
  redis.call('HDEL', providers, popped[1])
  return popped[1]
end
`;

/**
 * Takes a slot or joins the waiting set.
 * KEYS: 1 holders document, 2 index of state documents, 3 waiting set of the provider, 4 hash of waiting jobs.
 * ARGV: 1 new document version, 2 document format, 3 member of the index, 4 time in ms, 5 limit, 6 job id, 7 priority,
 * 8 provider, 9 prefix of the waiting sets.
 * Returns 1 when the job holds a slot, 0 when it waits.
 */
const acquireScript = `${holderFunctions}
local job = ARGV[6]
local holders = {}
local own
for _, holder in ipairs(read_holders(KEYS[1], ARGV[2])) do
  if holder.untilMs == cjson.null or tonumber(ARGV[4]) < holder.untilMs then
    table.insert(holders, holder)
    if holder.jobId == job then own = holder end
  end
end
local before = redis.call('HGET', KEYS[4], job)
if before and before ~= ARGV[8] then redis.call('ZREM', ARGV[9] .. before, job) end
if own then
  own.untilMs = cjson.null
elseif #holders < tonumber(ARGV[5]) then
  table.insert(holders, { jobId = job, sinceMs = tonumber(ARGV[4]), untilMs = cjson.null })
else
  redis.call('ZADD', KEYS[3], ARGV[7], job)
  redis.call('HSET', KEYS[4], job, ARGV[8])
  return 0
end
write_holders(KEYS[1], KEYS[2], ARGV[3], ARGV[1], ARGV[2], holders)
redis.call('ZREM', KEYS[3], job)
redis.call('HDEL', KEYS[4], job)
return 1
`;

/**
 * Releases a slot and takes the first job from the waiting set. A script that the client sends a second time, because
 * the connection broke before the reply, returns what the first one took. KEYS: 1 holders document, 2 index of state
 * documents, 3 waiting set of the provider, 4 hash of waiting jobs, 5 mark of this call. ARGV: 1 new document version,
 * 2 document format, 3 member of the index, 4 lifetime of the mark in ms, 5 job id, or empty to take the next job
 * without releasing a slot. Returns the id of the job that was taken, nil when there is none or when the job held no
 * slot.
 */
const releaseScript = `${holderFunctions}
local earlier = redis.call('GET', KEYS[5])
if earlier then return earlier ~= '' and earlier end
if ARGV[5] ~= '' then
  local holders = {}
  local held = false
  for _, holder in ipairs(read_holders(KEYS[1], ARGV[2])) do
    if holder.jobId == ARGV[5] then held = true else table.insert(holders, holder) end
  end
  if not held then return false end
  write_holders(KEYS[1], KEYS[2], ARGV[3], ARGV[1], ARGV[2], holders)
end
local taken = take_next(KEYS[3], KEYS[4])
redis.call('SET', KEYS[5], taken or '', 'PX', ARGV[4])
return taken
`;

/**
 * Removes a job from a provider's waiting set.
 * KEYS: 1 waiting set of the provider, 2 hash of waiting jobs. ARGV: 1 job id, 2 provider.
 */
const stopWaitingScript = `
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HGET', KEYS[2], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
return 1
`;

/** The scripts as `defineCommand` adds them to the connection. */
interface ScriptCommands {
  lipsyncAcquireSlot(...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncReleaseSlot(...keysAndArguments: readonly string[]): Promise<string | null>;
  lipsyncStopWaiting(...keysAndArguments: readonly string[]): Promise<number>;
}

export interface RedisConcurrencySlotsOptions {
  readonly connection: Redis;
  readonly clock: Clock;
}

/**
 * Concurrency slots in Redis. Waiting jobs are a sorted set per provider, and the script that releases a slot also
 * takes the next job from it. The caller closes the connection. Every call throws `resource_exhausted` when Redis
 * cannot be reached.
 */
export class RedisConcurrencySlots implements ConcurrencySlots {
  readonly #connection: Redis;
  readonly #scripts: ScriptCommands;
  /** Holders are documents of the state store. */
  readonly #state: StateStore;
  readonly #clock: Clock;
  /** Reads and keeps slots: neither concerns the waiting set. */
  readonly #documents: Pick<ConcurrencySlots, 'holders' | 'keep'>;

  constructor({ connection, clock }: RedisConcurrencySlotsOptions) {
    this.#connection = connection;
    this.#scripts = defineScripts(connection);
    this.#clock = clock;
    this.#state = new RedisStateStore({ connection });
    this.#documents = createConcurrencySlots({ state: this.#state, clock });
  }

  async acquire(
    provider: string,
    jobId: string,
    { limit, priority = defaultSlotPriority }: SlotRequest,
  ): Promise<boolean> {
    const holds = await guardRedis(() =>
      this.#scripts.lipsyncAcquireSlot(
        ...slotKeys(provider),
        randomUUID(),
        documentFormat,
        holdersOf(provider),
        String(this.#clock.nowMs()),
        String(limit),
        jobId,
        String(priority),
        provider,
        waitingSetPrefix,
      ),
    );
    return holds === 1;
  }

  keep(provider: string, jobId: string, untilMs: number): Promise<void> {
    return this.#documents.keep(provider, jobId, untilMs);
  }

  release(provider: string, jobId: string): Promise<string | null> {
    return this.#takeNext(provider, jobId);
  }

  takeNextWaiting(provider: string): Promise<string | null> {
    return this.#takeNext(provider, '');
  }

  async stopWaiting(provider: string, jobId: string): Promise<void> {
    await guardRedis(() =>
      this.#scripts.lipsyncStopWaiting(`${waitingSetPrefix}${provider}`, waitingProvidersKey, jobId, provider),
    );
  }

  countWaiting(provider: string, jobId?: string): Promise<number> {
    const key = `${waitingSetPrefix}${provider}`;
    return guardRedis(async () => {
      const rank = jobId === undefined ? null : await this.#connection.zrank(key, jobId);
      return rank ?? (await this.#connection.zcard(key));
    });
  }

  holders(provider: string): Promise<readonly SlotHolder[]> {
    return this.#documents.holders(provider);
  }

  sweep(isGone: (jobId: string) => Promise<boolean>): Promise<SweptSlots> {
    return sweepSlots(this.#state, {
      isGone,
      isHeld: ({ untilMs }) => untilMs === null || this.#clock.nowMs() < untilMs,
      release: (provider, jobId) => this.release(provider, jobId),
    });
  }

  /** Whether the job waits for a slot at any provider. */
  isWaiting(jobId: string): Promise<boolean> {
    return guardRedis(async () => (await this.#connection.hexists(waitingProvidersKey, jobId)) === 1);
  }

  #takeNext(provider: string, releasedJobId: string): Promise<string | null> {
    const version = randomUUID();
    return guardRedis(() =>
      this.#scripts.lipsyncReleaseSlot(
        ...slotKeys(provider),
        `${markPrefix}${version}`,
        version,
        documentFormat,
        holdersOf(provider),
        String(markLifetimeMs),
        releasedJobId,
      ),
    );
  }
}

function defineScripts(connection: Redis): ScriptCommands {
  connection.defineCommand('lipsyncAcquireSlot', { numberOfKeys: 4, lua: acquireScript });
  connection.defineCommand('lipsyncReleaseSlot', { numberOfKeys: 5, lua: releaseScript });
  connection.defineCommand('lipsyncStopWaiting', { numberOfKeys: 2, lua: stopWaitingScript });
  // `as`: defineCommand adds these methods at runtime, so ioredis' types lack them.
  return connection as unknown as ScriptCommands;
}

function holdersOf(provider: string): string {
  return `${slotHoldersPrefix}${provider}`;
}

function slotKeys(provider: string): readonly string[] {
  return [documentKey(holdersOf(provider)), documentIndexKey, `${waitingSetPrefix}${provider}`, waitingProvidersKey];
}
