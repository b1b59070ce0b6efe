import ipaddr from 'ipaddr.js';
import { LipsyncError } from '../errors/index.ts';

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** Private hosts and networks that URLs may reach. A null port stands for every port. */
export type AllowedPrivateHosts = readonly ({ readonly port: number | null } & (
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'network'; readonly network: IpAddress; readonly prefixBits: number }
))[];

/** Permits public addresses only. */
export const noPrivateHosts: AllowedPrivateHosts = Object.freeze([]);

const hostNamePattern = /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;
const maxPort = 65_535;

/**
 * Parses exact host names, addresses and CIDR networks, each with an optional port, e.g. `['minio.internal:9000',
 * '10.1.0.0/16', '[fd00::1]:9000']`. Throws `request_invalid` with the first entry that is none of them.
 */
export function parseAllowedHosts(entries: readonly string[]): AllowedPrivateHosts {
  return entries.map((entry) => {
    const { host, port } = splitPort(entry);
    const network = parseNetwork(host);
    if (network) return { kind: 'network', network: network[0], prefixBits: network[1], port };
    const name = normalizeHostName(host);
    // A name that consists of digits and dots is a mistyped address.
    if (hostNamePattern.test(name) && !/^[\d.]+$/.test(name)) return { kind: 'name', name, port };
    throw invalidEntry(entry);
  });
}

/** Adds the host and port of `url` to the allowed hosts if the URL has the trusted origin (scheme, host and port). */
export function allowTrustedOrigin(
  allowed: AllowedPrivateHosts,
  url: string,
  trustedOrigin: string | undefined,
): AllowedPrivateHosts {
  const parsed = URL.parse(url);
  if (trustedOrigin === undefined || parsed?.origin !== trustedOrigin) return allowed;
  return [...allowed, { kind: 'name', name: normalizeHostName(parsed.hostname), port: portOf(parsed) }];
}

/** Whether the host of a URL is allowed by name. */
export function allowsHostName(allowed: AllowedPrivateHosts, url: URL): boolean {
  const name = normalizeHostName(url.hostname);
  return allowed.some((host) => host.kind === 'name' && host.name === name && allowsPort(host, portOf(url)));
}

export function allowsAddress(allowed: AllowedPrivateHosts, address: IpAddress, port: number): boolean {
  return allowed.some(
    (host) =>
      host.kind === 'network' &&
      host.network.kind() === address.kind() &&
      address.match(host.network, host.prefixBits) &&
      allowsPort(host, port),
  );
}

/** The port that a request to the URL connects to. */
export function portOf({ port, protocol }: URL): number {
  if (port !== '') return Number(port);
  return protocol === 'https:' ? 443 : 80;
}

/** Lower case, without the dot that marks a fully qualified name. */
export function normalizeHostName(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

/**
 * Parses an IPv4 address of four decimals, or an IPv6 address with or without brackets. Returns an IPv4-mapped IPv6
 * address (::ffff:0:0/96) as IPv4. Returns undefined for short, octal and hex spellings of IPv4, which programs
 * interpret differently.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1');
  // For host names: the parser throws an error for each form that does not match, which takes longer than the rest.
  if (!/:|^[\d.]+$/.test(bare)) return undefined;
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare);
  return isAddress ? ipaddr.process(bare) : undefined;
}

function allowsPort({ port }: AllowedPrivateHosts[number], requested: number): boolean {
  return port === null || port === requested;
}

/** An IPv6 address or network needs brackets to carry a port, because its own groups are separated by colons. */
function splitPort(entry: string): { readonly host: string; readonly port: number | null } {
  const { bracketed, plain, port } =
    /^(?:\[(?<bracketed>[\da-f:.]+(?:\/\d+)?)\]|(?<plain>[^:]*))(?::(?<port>\d{1,5}))?$/i.exec(entry)?.groups ?? {};
  if (port === undefined) return { host: bracketed ?? entry, port: null };
  const number = Number(port);
  if (number < 1 || number > maxPort) throw invalidEntry(entry);
  return { host: bracketed ?? plain ?? '', port: number };
}

function parseNetwork(host: string): readonly [IpAddress, number] | undefined {
  const address = parseIpAddress(host);
  if (address) return [address, address.kind() === 'ipv4' ? 32 : 128];
  const isNetwork = ipaddr.IPv4.isValidCIDRFourPartDecimal(host) || ipaddr.IPv6.isValidCIDR(host);
  return isNetwork ? ipaddr.parseCIDR(host) : undefined;
}

function invalidEntry(entry: string): LipsyncError {
  return new LipsyncError(
    'request_invalid',
    `"${entry}" is not an allowed host: give an exact host name, an address or a network such as 10.0.0.0/8, with an optional port (minio.internal:9000, [fd00::1]:9000), without scheme or wildcard.`,
  );
}
