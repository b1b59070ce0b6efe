import { createHash, randomUUID } from 'node:crypto';
import { LipsyncError } from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';

/** How long a key stands for the job that it created. */
const lifetimeMs = 24 * 3_600_000;
/** How long the key of a request that is being received stays held when its API process is killed. */
const holdMs = 30_000;
const extendIntervalMs = 10_000;

/** The idempotency key of one request. */
export interface RequestKey {
  /** Name of the API key; null without one. Keys of different owners are independent. */
  readonly owner: string | null;
  readonly key: string;
  /** Tells this request from others with the same key. */
  readonly token: string;
}

/** A request key with the digest of what is requested. */
export interface RequestClaim extends RequestKey {
  readonly fingerprint: string;
}

/** What Redis stores under a key: a request that is being received, or the job that was created. */
export type KeyState =
  | { readonly type: 'free' }
  | { readonly type: 'held'; readonly token: string }
  | { readonly type: 'used'; readonly fingerprint: string; readonly jobId: string };

export function createRequestKey(owner: string | null, key: string): RequestKey {
  return { owner, key, token: randomUUID() };
}

/** Redis key of a request key. A digest, because the caller chooses both parts. */
export function idempotencyKeyOf({ owner, key }: RequestKey): string {
  const digest = createHash('sha256').update(JSON.stringify([owner, key]));
  return `lipsync:idempotency:${digest.digest('hex')}`;
}

const heldPrefix = 'held ';
const usedPattern = /^job (\S+) (\S+)$/;

/** Values as they are stored; the create script of the job store compares and writes them. */
export function claimValues({ token, fingerprint }: RequestClaim, jobId: string) {
  return { held: `${heldPrefix}${token}`, used: `job ${fingerprint} ${jobId}`, lifetimeMs: String(lifetimeMs) };
}

export function parseKeyState(value: string | null): KeyState {
  if (value?.startsWith(heldPrefix)) return { type: 'held', token: value.slice(heldPrefix.length) };
  const [, fingerprint, jobId] = usedPattern.exec(value ?? '') ?? [];
  return fingerprint !== undefined && jobId !== undefined ? { type: 'used', fingerprint, jobId } : { type: 'free' };
}

/**
 * The id of the job that an equal request created; undefined when this request creates it. Throws
 * `idempotency_mismatch` for the key of another request, `idempotency_in_progress` while another request is received.
 */
export function repeatedJobId(state: KeyState, { token, fingerprint }: RequestClaim): string | undefined {
  if (state.type === 'free' || (state.type === 'held' && state.token === token)) return undefined;
  if (state.type === 'held') throw inProgress();
  if (state.fingerprint === fingerprint) return state.jobId;
  throw new LipsyncError(
    'idempotency_mismatch',
    'The Idempotency-Key was used for a request with other content. Use a new key for a new request.',
  );
}

function inProgress(): LipsyncError {
  return new LipsyncError(
    'idempotency_in_progress',
    'A request with this Idempotency-Key is still being received. Repeat the request shortly.',
  );
}

/**
 * Holds a free key. Returns the value that another request has stored; nil when this request holds it. A client whose
 * connection breaks sends the script again, which then finds its own value. KEYS: 1 key. ARGV: 1 value, 2 milliseconds.
 */
const holdScript = `
local stored = redis.call('GET', KEYS[1])
if stored and stored ~= ARGV[1] then return stored end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return nil
`;

/** Extends or deletes the hold of a request, but not what another request stored. KEYS: 1 key. ARGV: 1 value, 2 ms. */
const extendScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;

export interface HeldKey {
  /** Stops holding the key, so that the request can be repeated; does nothing once its job was created. */
  release(): Promise<void>;
}

/**
 * Idempotency keys in Redis, shared by all API processes. A key is stored together with the job that its request
 * creates, by the create script of the job store. Every call throws `resource_exhausted` without Redis.
 */
export class IdempotencyKeys {
  readonly #connection: Redis;

  constructor({ connection }: { readonly connection: Redis }) {
    this.#connection = connection;
  }

  async read(key: RequestKey): Promise<KeyState> {
    return parseKeyState(await guardRedis(() => this.#connection.get(idempotencyKeyOf(key))));
  }

  /**
   * Holds a key while the body of its request is received, which may take minutes. The caller releases it. Throws
   * `idempotency_in_progress` while another request holds it; a key that was used is not held.
   */
  async hold(key: RequestKey): Promise<HeldKey> {
    const name = idempotencyKeyOf(key);
    const value = `${heldPrefix}${key.token}`;
    // `as`: the script returns the value of a string key, or nil.
    const stored = await guardRedis(
      async () => (await this.#connection.eval(holdScript, 1, name, value, holdMs)) as string | null,
    );
    if (stored?.startsWith(heldPrefix)) throw inProgress();
    if (stored !== null) return { release: async () => undefined };
    const renew = (ms: number): Promise<unknown> => this.#connection.eval(extendScript, 1, name, value, ms);
    // An outage lets the hold expire; the create script still decides which request creates the job.
    const timer = setInterval(() => void renew(holdMs).catch(() => undefined), extendIntervalMs);
    return {
      release: async () => {
        clearInterval(timer);
        await renew(0).catch(() => undefined);
      },
    };
  }
}
