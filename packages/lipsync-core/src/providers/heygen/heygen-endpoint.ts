import { LipsyncError } from '../../errors/index.ts';

export interface HeygenEndpoint {
  /** Scheme, host, port and path in front of `/v3/…`, without a slash at its end. */
  readonly url: string;
  /** What was changed, or is unsafe about it; for the log at start. */
  readonly warnings: readonly string[];
}

/**
 * Reads the address of the API as an operator may have written it. A version at its end is dropped, with a warning: the
 * paths that we call name theirs. Throws `request_invalid` for what is no address of an API. Pure.
 */
export function parseHeygenEndpoint(text: string): HeygenEndpoint {
  const parsed = URL.parse(text.trim());
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.hostname === '')
    throw invalid('must be an http or https URL, for example https://api.heygen.com');
  if (parsed.username !== '' || parsed.password !== '')
    throw invalid('must not hold a user name or password; the key belongs in HEYGEN_API_KEY');
  if (parsed.search !== '' || parsed.hash !== '') throw invalid('must end with its host or path, without ? or #');
  const path = parsed.pathname.replace(/\/+$/, '');
  const version = /\/v\d+$/.exec(path)?.[0] ?? '';
  const url = `${parsed.origin}${path.slice(0, path.length - version.length)}`;
  return {
    url,
    warnings: [
      ...(version === ''
        ? []
        : [`HEYGEN_API_ENDPOINT ends with ${version}, which was dropped: lip-sync lives under ${url}/v3.`]),
      ...(parsed.protocol === 'http:' && !isLoopback(parsed.hostname)
        ? ['HEYGEN_API_ENDPOINT begins with http: the key travels unencrypted.']
        : []),
    ],
  };
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function invalid(reason: string): LipsyncError {
  return new LipsyncError('request_invalid', `HEYGEN_API_ENDPOINT ${reason}.`);
}
