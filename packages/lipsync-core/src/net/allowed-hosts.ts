import { LipsyncError } from '../errors/index.ts';
import { parseIpAddress, parseIpNetwork, type IpAddress } from './ip-address.ts';

/** Hosts and networks that URLs may reach although they are private. Made by `parseAllowedHosts`. */
export interface AllowedPrivateHosts {
  readonly names: ReadonlySet<string>;
  readonly networks: readonly (readonly [IpAddress, number])[];
}

/** Lets URLs reach public addresses only. */
export const noPrivateHosts: AllowedPrivateHosts = Object.freeze({ names: new Set<string>(), networks: [] });

const namePattern = /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;

/**
 * Reads a list of exact host names, addresses and networks in CIDR notation, e.g. `['minio.internal', '10.1.0.0/16']`.
 * Throws `request_invalid` naming the entry that is none of them.
 */
export function parseAllowedHosts(entries: readonly string[]): AllowedPrivateHosts {
  const names = new Set<string>();
  const networks: (readonly [IpAddress, number])[] = [];
  for (const entry of entries) {
    const network = parseNetwork(entry);
    if (network) networks.push(network);
    else names.add(parseName(entry));
  }
  return { names, networks };
}

/** Whether a host name, as a URL spells it, is on the list. */
export function allowsName(allowed: AllowedPrivateHosts, hostname: string): boolean {
  return allowed.names.has(normalizeName(hostname));
}

/** Whether an address lies in a listed network. */
export function allowsAddress(allowed: AllowedPrivateHosts, address: IpAddress): boolean {
  return allowed.networks.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
}

/** Names compare in lower case and without the dot that marks a name as complete. */
export function normalizeName(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

function parseNetwork(entry: string): readonly [IpAddress, number] | undefined {
  const address = parseIpAddress(entry);
  return address ? [address, address.kind() === 'ipv4' ? 32 : 128] : parseIpNetwork(entry);
}

function parseName(entry: string): string {
  const name = normalizeName(entry);
  // A name of digits and dots only is a mistyped address, not a name.
  if (namePattern.test(name) && !/^[\d.]+$/.test(name)) return name;
  throw new LipsyncError(
    'request_invalid',
    `"${entry}" is not an allowed host: give an exact host name, an address or a network such as 10.0.0.0/8, without scheme, port or wildcard.`,
  );
}
