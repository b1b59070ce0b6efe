import ipaddr from 'ipaddr.js';

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * Reads an address in its usual spelling: four decimals, or IPv6 with or without brackets. An IPv4 address inside an
 * IPv6 one (::ffff:…) comes out as IPv4. Short, octal and hex spellings of IPv4 are not read: programs disagree on them.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1');
  const usual = ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare);
  return usual ? ipaddr.process(bare) : undefined;
}

/** Reads a network such as 10.0.0.0/8 or fd00::/8. */
export function parseIpNetwork(text: string): readonly [IpAddress, number] | undefined {
  const usual = ipaddr.IPv4.isValidCIDRFourPartDecimal(text) || ipaddr.IPv6.isValidCIDR(text);
  return usual ? ipaddr.parseCIDR(text) : undefined;
}
