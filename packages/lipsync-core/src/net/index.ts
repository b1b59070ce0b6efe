export {
  GuardedClient,
  type GuardedClientOptions,
  type GuardedRequest,
  type GuardedResponse,
  type RequestLimits,
} from './guarded-client.ts';
export { RequestError, type RequestFailure } from './request-errors.ts';
export { checkUrl, parseAllowedHosts, type AllowedPrivateHosts } from './url-policy.ts';
