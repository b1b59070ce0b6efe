import ipaddr from 'ipaddr.js';
import { LipsyncError } from '../errors/index.ts';
import { allowsAddress, allowsName, normalizeName, type AllowedPrivateHosts } from './allowed-hosts.ts';
import { parseIpAddress, type IpAddress } from './ip-address.ts';

/** Longer ones are not addresses of files. */
const maxUrlLength = 8_192;

/** The address at which Azure's machines answer their own guests; it looks public. */
const azureHostAddress = '168.63.129.16';

/**
 * Checks what can be known of a URL without asking the network: http or https, no credentials, no private host spelled
 * out. Returns it parsed. Throws `request_invalid` for what is no URL and `url_forbidden` for one that must not be
 * fetched; a host name may still turn out to be private when it is resolved.
 */
export function checkUrl(text: string, allowed: AllowedPrivateHosts): URL {
  const url = text.length <= maxUrlLength ? URL.parse(text) : null;
  if (!url) throw new LipsyncError('request_invalid', 'This is not a URL. Give a full one, starting with https://.');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw forbidden('Only http and https URLs are fetched.');
  }
  if (url.username !== '' || url.password !== '') {
    throw forbidden('A URL with a user name or password in it is not fetched. Use a signed URL instead.');
  }
  if (url.hostname === '') throw new LipsyncError('request_invalid', 'The URL names no host.');
  if (!allowsName(allowed, url.hostname)) checkHostname(url.hostname, allowed);
  return url;
}

function checkHostname(hostname: string, allowed: AllowedPrivateHosts): void {
  // The URL parser has already turned octal, hex and short spellings of an address into four decimals.
  if (parseIpAddress(hostname)) return checkAddress(hostname, allowed);
  const name = normalizeName(hostname);
  if (name === 'localhost' || name.endsWith('.localhost')) throw privateAddress();
}

/** Throws `url_forbidden` unless the address is public or explicitly allowed. */
export function checkAddress(text: string, allowed: AllowedPrivateHosts): void {
  const address = parseIpAddress(text);
  if (address && (allowsAddress(allowed, address) || isPublic(address))) return;
  throw privateAddress();
}

/**
 * Public means: can be reached by everybody, and leads to nobody else. In IPv6 that is 2000::/3 less what ipaddr.js
 * knows by another name than unicast (6to4, Teredo, documentation …); addresses that carry an IPv4 address
 * (::ffff:0:0/96 is unpacked before, 64:ff9b::/96 and ::/96 are outside) do not pass.
 */
function isPublic(address: IpAddress): boolean {
  if (address.range() !== 'unicast') return false;
  if (address instanceof ipaddr.IPv4) return address.toString() !== azureHostAddress;
  return address.match(ipaddr.IPv6.parse('2000::'), 3);
}

function privateAddress(): LipsyncError {
  return forbidden(
    'The URL leads to a private or reserved address, which is not fetched. Use a public one, or let the operator allow the host.',
  );
}

function forbidden(message: string): LipsyncError {
  return new LipsyncError('url_forbidden', message);
}
