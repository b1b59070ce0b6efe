import type { HeygenStandin } from '../../packages/heygen-standin/src/index.ts';

/** Settings with which the service uses the stand-in as HeyGen, with a short poll interval. */
export function standinEnvironment({ url, apiKey }: Pick<HeygenStandin, 'url' | 'apiKey'>): Record<string, string> {
  return { HEYGEN_API_KEY: apiKey, HEYGEN_API_ENDPOINT: url, HEYGEN_POLL_INTERVAL_MS: '500' };
}
