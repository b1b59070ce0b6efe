export { parseAllowedHosts, type AllowedPrivateHosts } from './allowed-hosts.ts';
export { checkUrl } from './check-url.ts';
export { fetchGuarded, type FetchedFile, type GuardedFetchOptions } from './guarded-fetch.ts';
export { pinUrl, type PinnedUrl, type PinOptions } from './pin-url.ts';
