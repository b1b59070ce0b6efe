import { setTimeout as delay } from 'node:timers/promises';
import { LipsyncError } from '../errors/index.ts';

/** Answer of a try that others got in the way of. */
export const contended: unique symbol = Symbol('contended');

export interface ContentionLimits {
  /** Tries before the caller is sent away. */
  readonly maxTries: number;
  /** Longest pause between two tries, in milliseconds; pauses begin short and are drawn at random. */
  readonly maxPauseMs: number;
}

/** About five seconds of trying. */
export const defaultContentionLimits: ContentionLimits = Object.freeze({ maxTries: 200, maxPauseMs: 50 });

/**
 * Repeats `attempt` until it is not `contended`. Pauses are random, so that those who met once do not meet again.
 * Throws `resource_exhausted` after the last try, and what `attempt` throws.
 */
export async function untilUncontended<Result>(
  limits: ContentionLimits,
  attempt: () => Promise<Result | typeof contended>,
): Promise<Result> {
  for (let tries = 1; tries <= limits.maxTries; tries += 1) {
    const result = await attempt();
    if (result !== contended) return result;
    if (tries < limits.maxTries) await delay(Math.random() * Math.min(limits.maxPauseMs, 2 ** Math.min(tries, 10)));
  }
  throw new LipsyncError('resource_exhausted', 'Too many processes changed the same state at once. Try again shortly.');
}
