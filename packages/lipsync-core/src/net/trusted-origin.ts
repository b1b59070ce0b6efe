import { normalizeName, type AllowedPrivateHosts } from './allowed-hosts.ts';

/**
 * The hosts that a URL may name although they are private: `allowed`, and the URL's own where it is of the one origin
 * (scheme, host and port) that we were configured with and nobody gave us.
 */
export function allowOrigin(
  allowed: AllowedPrivateHosts,
  url: string,
  trustedOrigin: string | undefined,
): AllowedPrivateHosts {
  const parsed = URL.parse(url);
  if (trustedOrigin === undefined || parsed?.origin !== trustedOrigin) return allowed;
  return { ...allowed, names: new Set([...allowed.names, normalizeName(parsed.hostname)]) };
}
