import { noPrivateHosts, type AllowedPrivateHosts } from './allowed-hosts.ts';
import { checkUrl } from './check-url.ts';
import { resolveChecked, resolveWithSystem, type HostAddress, type ResolveHost } from './resolve-host.ts';
import { allowOrigin } from './trusted-origin.ts';

export interface PinOptions {
  readonly allowedPrivateHosts?: AllowedPrivateHosts | undefined;
  /** An origin that may be asked although it is private. */
  readonly trustedOrigin?: string | undefined;
  readonly resolveHost?: ResolveHost | undefined;
}

/** A URL that may be asked, with the checked addresses to connect to. */
export interface PinnedUrl {
  readonly url: URL;
  readonly addresses: readonly HostAddress[];
}

/**
 * Checks a URL that somebody gave us as `fetchGuarded` does, for those who ask it in another way. Whoever does connects
 * to these addresses only and follows no redirects. Throws `url_forbidden` or `request_invalid`.
 */
export async function pinUrl(
  text: string,
  { allowedPrivateHosts = noPrivateHosts, trustedOrigin, resolveHost = resolveWithSystem }: PinOptions,
): Promise<PinnedUrl> {
  const allowed = allowOrigin(allowedPrivateHosts, text, trustedOrigin);
  const url = checkUrl(text, allowed);
  return { url, addresses: await resolveChecked(url.hostname, allowed, resolveHost) };
}
