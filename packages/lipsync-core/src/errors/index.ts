export {
  errorCodes,
  errorPolicies,
  type BreakerEffect,
  type ErrorCode,
  type ErrorDecision,
  type ErrorPolicy,
} from './error-codes.ts';
export {
  abortError,
  InputNotFoundError,
  LipsyncError,
  ProviderError,
  TimeoutError,
  toLipsyncError,
  type LipsyncErrorOptions,
} from './lipsync-error.ts';
