/** Reaction of the retry policy to a failed attempt; `providers/retry-policy.ts` applies it. */
export type ErrorDecision = 'retry' | 'wait' | 'next_provider' | 'fail';

/** How a failure counts for the provider's circuit breaker. */
export type BreakerEffect = 'none' | 'counts' | 'opens';

export interface ErrorPolicy {
  readonly decision: ErrorDecision;
  readonly breaker: BreakerEffect;
  readonly httpStatus: number;
  /** Whether an operator must act, even if the job completes. */
  readonly alert: boolean;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
}

function policy(
  decision: ErrorDecision,
  httpStatus: number,
  extra: Partial<Omit<ErrorPolicy, 'decision' | 'httpStatus'>> = {},
): ErrorPolicy {
  return Object.freeze({ decision, httpStatus, breaker: 'none', alert: false, retryable: false, ...extra });
}

/**
 * The closed list of error codes. A code determines retries, failover, breaker effect and HTTP status. A test compares
 * the list with docs/errors.md.
 */
export const errorPolicies = Object.freeze({
  request_invalid: policy('fail', 422),
  unauthorized: policy('fail', 401),
  forbidden: policy('fail', 403),
  not_found: policy('fail', 404),
  conflict: policy('fail', 409),
  inputs_gone: policy('fail', 410),
  output_gone: policy('fail', 410),
  payload_too_large: policy('fail', 413),
  url_forbidden: policy('fail', 422),
  consent_required: policy('fail', 422),
  consent_expired: policy('fail', 422),
  fetch_failed: policy('fail', 502, { retryable: true }),
  fetch_timeout: policy('fail', 504, { retryable: true }),
  idempotency_in_progress: policy('fail', 409, { retryable: true }),
  idempotency_mismatch: policy('fail', 422),
  too_many_requests: policy('fail', 429, { retryable: true }),
  budget_exceeded: policy('next_provider', 402),
  clip_unusable: policy('fail', 422),
  speech_unusable: policy('fail', 422),
  content_refused: policy('fail', 422),
  deadline_exceeded: policy('fail', 504, { retryable: true }),
  canceled: policy('fail', 409),
  output_exists: policy('fail', 409),
  credentials_rejected: policy('next_provider', 502, { breaker: 'opens', alert: true }),
  provider_balance_exhausted: policy('next_provider', 502, { breaker: 'opens', alert: true }),
  rate_limited: policy('wait', 503, { retryable: true }),
  provider_unavailable: policy('retry', 502, { breaker: 'counts', retryable: true }),
  provider_timeout: policy('next_provider', 504, { breaker: 'counts', retryable: true }),
  provider_failed: policy('next_provider', 502, { breaker: 'counts' }),
  provider_protocol: policy('next_provider', 502, { breaker: 'counts', alert: true }),
  not_supported: policy('next_provider', 422),
  quality_rejected: policy('next_provider', 422),
  model_missing: policy('next_provider', 503),
  model_invalid: policy('next_provider', 503),
  resource_exhausted: policy('next_provider', 503, { retryable: true }),
  storage_unwritable: policy('fail', 503, { retryable: true }),
  store_unavailable: policy('fail', 503, { retryable: true }),
  store_timeout: policy('fail', 503, { retryable: true }),
  store_corrupted: policy('fail', 503, { retryable: true }),
  store_credentials_rejected: policy('fail', 503, { retryable: true }),
  store_full: policy('fail', 503, { retryable: true }),
  marking_failed: policy('fail', 500, { retryable: true }),
  media_failed: policy('retry', 500, { retryable: true }),
  webhook_failed: policy('fail', 502, { retryable: true }),
  worker_crashed: policy('retry', 500, { retryable: true }),
  internal: policy('fail', 500, { alert: true }),
} satisfies Record<string, ErrorPolicy>);

export type ErrorCode = keyof typeof errorPolicies;

/** All codes, in the order in which the documentation lists them. */
// Object.keys is typed string[] because objects may have more keys than their type; this one is frozen above.
export const errorCodes = Object.freeze(Object.keys(errorPolicies) as ErrorCode[]);
