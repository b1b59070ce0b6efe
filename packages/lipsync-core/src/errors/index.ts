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
  BudgetExceededError,
  InputNotFoundError,
  LipsyncError,
  ProviderError,
  ResourceExhaustedError,
  TimeoutError,
  toLipsyncError,
  type BudgetCap,
  type LipsyncErrorOptions,
  type ProviderErrorOptions,
  type RequestOutcome,
} from './lipsync-error.ts';
