import { lookup } from 'node:dns/promises';
import { errnoCode } from '../errors/system-error.ts';
import { RequestError } from './request-errors.ts';
import { allowsHostName, parseIpAddress, portOf, type AllowedPrivateHosts } from './allowed-hosts.ts';
import { checkAddress } from './url-policy.ts';

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
  url: URL,
  allowed: AllowedPrivateHosts,
  resolveHost: ResolveHost,
): Promise<readonly HostAddress[]> {
  const { hostname } = url;
  const literal = parseIpAddress(hostname);
  if (literal) return [{ address: literal.toString(), family: literal.kind() === 'ipv6' ? 6 : 4 }];
  const addresses = await resolveHost(hostname).catch((error: unknown) => {
    throw unresolvedHost(hostname, error);
  });
  if (addresses.length === 0) throw unresolvedHost(hostname);
  if (!allowsHostName(allowed, url)) {
    for (const { address } of addresses) checkAddress(address, portOf(url), allowed);
  }
  return addresses;
}

/** A resolver that cannot answer at the moment (EAI_AGAIN) leaves open whether the host exists. */
function unresolvedHost(hostname: string, cause?: unknown): RequestError {
  const retryable = errnoCode(cause) === 'EAI_AGAIN';
  const explanation = retryable ? 'cannot be resolved at the moment' : 'does not exist';
  return new RequestError('unknown_host', `the host ${hostname} ${explanation}`, { retryable, cause });
}
