import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';

/** Exists in a private Redis, whose append-only file the service may rewrite. */
export const privateRedisKey = 'lipsync:private-redis';
/** Number of erasures that the append-only file still contains. */
export const rewriteDueKey = 'lipsync:rewrite-due';
/** Exists for a while after a rewrite, because each one writes the whole database. */
const rewritePauseKey = 'lipsync:rewrite-pause';
const rewritePauseMs = 60_000;

/** Deletes the number unless further erasures have changed it. KEYS: 1 number. ARGV: 1 its expected value. */
const clearScript = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`;

/**
 * Starts a rewrite of the append-only file of a private Redis if it contains erased data, at most once a minute. Returns
 * whether it has started one. Another Redis is left alone: its operator decides. Throws `resource_exhausted` without
 * Redis.
 */
export async function rewriteErasedData(connection: Redis): Promise<boolean> {
  const [isPrivate, due] = await guardRedis(() => connection.mget(privateRedisKey, rewriteDueKey));
  if (!isPrivate || typeof due !== 'string') return false;
  if ((await guardRedis(() => connection.set(rewritePauseKey, '1', 'PX', rewritePauseMs, 'NX'))) === null) return false;
  try {
    await guardRedis(() => connection.bgrewriteaof());
  } catch (error) {
    await guardRedis(() => connection.del(rewritePauseKey));
    // A rewrite that began before the last erasure may still contain it.
    if (error instanceof Error && error.message.includes('in progress')) return false;
    throw error;
  }
  await guardRedis(() => connection.eval(clearScript, 1, rewriteDueKey, due));
  return true;
}
