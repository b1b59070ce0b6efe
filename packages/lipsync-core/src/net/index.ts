export {
  GuardedClient,
  type GuardedClientOptions,
  type GuardedRequest,
  type GuardedResponse,
  type RequestLimits,
} from './guarded-client.ts';
export { RequestError, type RequestFailure } from './request-errors.ts';
export { allowTrustedOrigin, parseAllowedHosts, type AllowedPrivateHosts } from './allowed-hosts.ts';
export { checkReceiver } from './receiver-policy.ts';
export { checkUrl } from './url-policy.ts';
