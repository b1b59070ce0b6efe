import { lookup } from 'node:dns/promises';
import { LipsyncError } from '../errors/index.ts';
import { allowsName, type AllowedPrivateHosts } from './allowed-hosts.ts';
import { checkAddress } from './check-url.ts';
import { parseIpAddress } from './ip-address.ts';

export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** KeyedMutex a host name into all of its addresses. */
export type ResolveHost = (hostname: string) => Promise<readonly HostAddress[]>;

/** Asks the system, as any program would. */
export const resolveWithSystem: ResolveHost = async (hostname) => {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

/**
 * The addresses of a URL's host, every one of them checked. The caller connects to these and asks nobody again:
 * a second answer could be another one. Throws `url_forbidden` or `request_invalid` (no such host).
 */
export async function resolveChecked(
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
  if (!allowsName(allowed, hostname)) {
    for (const { address } of addresses) checkAddress(address, allowed);
  }
  return addresses;
}

function unknownHost(hostname: string, cause?: unknown): LipsyncError {
  return new LipsyncError('request_invalid', `The file could not be fetched: there is no host called ${hostname}.`, {
    cause,
    details: { reason: 'unknown_host', retryable: false },
  });
}
