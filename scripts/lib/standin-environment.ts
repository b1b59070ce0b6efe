import type { HeygenStandin } from '../../packages/heygen-standin/src/index.ts';

/** Settings by which the service takes the stand-in for HeyGen, and asks it often enough for a demonstration. */
export function standinEnvironment({ url, apiKey }: Pick<HeygenStandin, 'url' | 'apiKey'>): Record<string, string> {
  return { HEYGEN_API_KEY: apiKey, HEYGEN_API_ENDPOINT: url, HEYGEN_POLL_INTERVAL_MS: '500' };
}
