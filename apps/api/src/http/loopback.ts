import { isIPv4, isIPv6 } from 'node:net';

/** Whether a host name or address is loopback. IPv6 with or without brackets. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (isIPv4(name)) return name.startsWith('127.');
  if (isIPv6(name)) return name === '::1';
  return name === 'localhost' || name.endsWith('.localhost');
}

/** The host of a `Host` header without its port; undefined for a malformed header. */
export function hostOf(header: string): string | undefined {
  return hostOfUrl(`http://${header}`);
}

/** The host of an `Origin` header; undefined if it has none (for example `null`). */
export function hostOfUrl(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}
