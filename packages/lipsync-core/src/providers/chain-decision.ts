import { errorPolicies, type ErrorCode } from '../errors/index.ts';
import type { Provider } from './provider.ts';

/** Tries of one provider in one job, at most; a crash of ours does not count as one. */
const maxTriesOfOneProvider = 3;

/** Tries after which a fault that is worth exactly one repetition is given up. */
const maxTriesAfterMediaFault = 2;

/** What the chain does after a failed attempt. */
export type ChainDecision = 'again' | 'next' | 'stop';

/** Decides from the code and the tries so far (this one included), and from nothing else. Pure. */
export function decide(code: ErrorCode, tries: number): ChainDecision {
  const { decision } = errorPolicies[code];
  if (decision === 'stop' || decision === 'next') return decision;
  const limit = code === 'media_failed' ? maxTriesAfterMediaFault : maxTriesOfOneProvider;
  return tries < limit ? 'again' : 'next';
}

/**
 * As `decide`, for an attempt as a whole. A remote attempt has waited out by itself what may pass, and its breaker is not
 * asked twice: after its end nothing is worth another try. Pure.
 */
export function decideAfterAttempt({ kind }: Provider, code: ErrorCode, tries: number): ChainDecision {
  const decision = decide(code, tries);
  return decision === 'again' && kind === 'remote' ? 'next' : decision;
}

/** How long to wait before the same provider is tried again: doubling from half a second, up to ten seconds. */
export function pauseBeforeTryMs(tries: number): number {
  return Math.min(10_000, 500 * 2 ** (tries - 1));
}
