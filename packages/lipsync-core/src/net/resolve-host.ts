import { lookup } from 'node:dns/promises';
import { RequestError } from './request-errors.ts';
import { allowsHostName, checkAddress, parseIpAddress, type AllowedPrivateHosts } from './url-policy.ts';

export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Resolves a host name to all of its addresses. */
export type ResolveHost = (hostname: string) => Promise<readonly HostAddress[]>;

/** Resolves with the operating system. */
export const resolveWithSystem: ResolveHost = async (hostname) => {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

/**
 * Resolves the host of a URL and checks every address. The caller connects to these addresses and does not resolve the
 * name again, because a second answer can differ (DNS rebinding). Throws `url_forbidden`, or a `RequestError` when the
 * host does not exist.
 */
export async function resolveHostAddresses(
  hostname: string,
  allowed: AllowedPrivateHosts,
  resolveHost: ResolveHost,
): Promise<readonly HostAddress[]> {
  const literal = parseIpAddress(hostname);
  if (literal) return [{ address: literal.toString(), family: literal.kind() === 'ipv6' ? 6 : 4 }];
  const addresses = await resolveHost(hostname).catch((error: unknown) => {
    throw unknownHost(hostname, error);
  });
  if (addresses.length === 0) throw unknownHost(hostname);
  if (!allowsHostName(allowed, hostname)) {
    for (const { address } of addresses) checkAddress(address, allowed);
  }
  return addresses;
}

function unknownHost(hostname: string, cause?: unknown): RequestError {
  return new RequestError('unknown_host', `the host ${hostname} does not exist`, { retryable: false, cause });
}
