import ipaddr from 'ipaddr.js';
import { LipsyncError } from '../errors/index.ts';

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** Private hosts and networks that URLs may reach. Created by `parseAllowedHosts`. */
export interface AllowedPrivateHosts {
  readonly names: ReadonlySet<string>;
  readonly networks: readonly (readonly [network: IpAddress, prefixBits: number])[];
}

/** Permits public addresses only. */
export const noPrivateHosts: AllowedPrivateHosts = Object.freeze({ names: new Set<string>(), networks: [] });

const maxUrlLength = 8_192;
const hostNamePattern = /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;

/** Azure serves instance metadata at this address, which is in a public range. */
const azureMetadataAddress = '168.63.129.16';

/**
 * Parses exact host names, addresses and CIDR networks, e.g. `['minio.internal', '10.1.0.0/16']`. Throws
 * `request_invalid` with the first entry that is none of them.
 */
export function parseAllowedHosts(entries: readonly string[]): AllowedPrivateHosts {
  const names = new Set<string>();
  const networks: (readonly [IpAddress, number])[] = [];
  for (const entry of entries) {
    const network = parseNetwork(entry);
    if (network) networks.push(network);
    else names.add(parseHostName(entry));
  }
  return { names, networks };
}

/** Adds the host of `url` to the allowed hosts if the URL has the trusted origin (scheme, host and port). */
export function allowTrustedOrigin(
  allowed: AllowedPrivateHosts,
  url: string,
  trustedOrigin: string | undefined,
): AllowedPrivateHosts {
  const parsed = URL.parse(url);
  if (trustedOrigin === undefined || parsed?.origin !== trustedOrigin) return allowed;
  return { ...allowed, names: new Set([...allowed.names, normalizeHostName(parsed.hostname)]) };
}

/** Whether a host name, in the spelling of a URL, is allowed by name. */
export function allowsHostName(allowed: AllowedPrivateHosts, hostname: string): boolean {
  return allowed.names.has(normalizeHostName(hostname));
}

/**
 * Parses a URL and checks it without network access: http or https, no credentials, no private address. Throws
 * `request_invalid` for text that is not a URL and `url_forbidden` for a URL that must not be requested. A host name
 * can still resolve to a private address; `resolveHostAddresses` checks that.
 */
export function checkUrl(text: string, allowed: AllowedPrivateHosts): URL {
  const url = text.length <= maxUrlLength ? URL.parse(text) : null;
  if (!url) throw new LipsyncError('request_invalid', 'The URL is invalid. Give a full URL that starts with https://.');
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw forbidden('The URL scheme is not supported. Use an http or https URL.');
  if (url.username !== '' || url.password !== '')
    throw forbidden('The URL contains a user name or password. Use a signed URL instead.');
  if (url.hostname === '')
    throw new LipsyncError('request_invalid', 'The URL has no host. Give a full URL that starts with https://.');
  if (!allowsHostName(allowed, url.hostname)) checkHost(url.hostname, allowed);
  return url;
}

/** Throws `url_forbidden` unless the address is public or explicitly allowed. */
export function checkAddress(text: string, allowed: AllowedPrivateHosts): void {
  const address = parseIpAddress(text);
  if (address && (allowsAddress(allowed, address) || isPublic(address))) return;
  throw privateAddress();
}

/**
 * Parses an IPv4 address of four decimals, or an IPv6 address with or without brackets. Returns an IPv4-mapped IPv6
 * address (::ffff:0:0/96) as IPv4. Returns undefined for short, octal and hex spellings of IPv4, which programs
 * interpret differently.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1');
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare);
  return isAddress ? ipaddr.process(bare) : undefined;
}

function checkHost(hostname: string, allowed: AllowedPrivateHosts): void {
  // The URL parser has already normalized octal, hex and short spellings of IPv4 addresses.
  if (parseIpAddress(hostname)) return checkAddress(hostname, allowed);
  const name = normalizeHostName(hostname);
  if (name === 'localhost' || name.endsWith('.localhost')) throw privateAddress();
}

function allowsAddress(allowed: AllowedPrivateHosts, address: IpAddress): boolean {
  return allowed.networks.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
}

/**
 * Whether an address is globally routable. For IPv6: within 2000::/3 and classified as unicast by ipaddr.js, which
 * excludes 6to4, Teredo and documentation ranges. Embedded IPv4 addresses do not pass: ::ffff:0:0/96 is parsed as IPv4,
 * and 64:ff9b::/96 and ::/96 are outside 2000::/3.
 */
function isPublic(address: IpAddress): boolean {
  if (address.range() !== 'unicast') return false;
  if (address instanceof ipaddr.IPv4) return address.toString() !== azureMetadataAddress;
  return address.match(ipaddr.IPv6.parse('2000::'), 3);
}

function parseNetwork(entry: string): readonly [IpAddress, number] | undefined {
  const address = parseIpAddress(entry);
  if (address) return [address, address.kind() === 'ipv4' ? 32 : 128];
  const isNetwork = ipaddr.IPv4.isValidCIDRFourPartDecimal(entry) || ipaddr.IPv6.isValidCIDR(entry);
  return isNetwork ? ipaddr.parseCIDR(entry) : undefined;
}

function parseHostName(entry: string): string {
  const name = normalizeHostName(entry);
  // A name that consists of digits and dots is a mistyped address.
  if (hostNamePattern.test(name) && !/^[\d.]+$/.test(name)) return name;
  throw new LipsyncError(
    'request_invalid',
    `"${entry}" is not an allowed host: give an exact host name, an address or a network such as 10.0.0.0/8, without scheme, port or wildcard.`,
  );
}

/** Lower case, without the dot that marks a fully qualified name. */
function normalizeHostName(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, '');
}

function privateAddress(): LipsyncError {
  return forbidden(
    'The URL points to a private or reserved address. Use a public URL, or let the operator allow the host with LIPSYNC_ALLOWED_PRIVATE_HOSTS.',
  );
}

function forbidden(message: string): LipsyncError {
  return new LipsyncError('url_forbidden', message);
}
