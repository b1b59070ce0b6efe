import ipaddr from 'ipaddr.js';
import { LipsyncError } from '../errors/index.ts';
import {
  allowsAddress,
  allowsHostName,
  normalizeHostName,
  parseIpAddress,
  portOf,
  type AllowedPrivateHosts,
  type IpAddress,
} from './allowed-hosts.ts';

const maxUrlLength = 8_192;

/** Azure serves instance metadata at this address, which is in a public range. */
const azureMetadataAddress = '168.63.129.16';

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
  if (!allowsHostName(allowed, url)) checkHost(url, allowed);
  return url;
}

/** Throws `url_forbidden` unless the address is public or explicitly allowed for the port. */
export function checkAddress(text: string, port: number, allowed: AllowedPrivateHosts): void {
  const address = parseIpAddress(text);
  if (address && (allowsAddress(allowed, address, port) || isPublic(address))) return;
  throw privateAddress();
}

function checkHost(url: URL, allowed: AllowedPrivateHosts): void {
  // The URL parser has already normalized octal, hex and short spellings of IPv4 addresses.
  if (parseIpAddress(url.hostname)) return checkAddress(url.hostname, portOf(url), allowed);
  const name = normalizeHostName(url.hostname);
  if (name === 'localhost' || name.endsWith('.localhost')) throw privateAddress();
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

function privateAddress(): LipsyncError {
  return forbidden(
    'The URL points to a private or reserved address. Use a public URL, or let the operator allow the host with LIPSYNC_ALLOWED_PRIVATE_HOSTS.',
  );
}

function forbidden(message: string): LipsyncError {
  return new LipsyncError('url_forbidden', message);
}

/** Returns the text with its URLs replaced: they may hold a secret or name a person. URLs of source files stay. */
export function withoutUrls(text: string): string {
  return text.replaceAll(/\b(?!file:)[a-z][a-z\d+.-]*:\/\/[^\s"'<>)]+/gi, '[URL]');
}
