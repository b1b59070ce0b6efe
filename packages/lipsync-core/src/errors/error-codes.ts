/**
 * The closed list of what can go wrong. A code alone decides retry, failover, breaker and HTTP status;
 * message text is for people. docs/errors.md lists the same codes, and a test compares the two.
 */

/** What the provider chain does next: same provider again, wait and again, next provider, or end the job. */
export type ErrorDecision = 'again' | 'wait' | 'next' | 'stop';

/** How a failure counts for the provider's circuit breaker. */
export type BreakerEffect = 'none' | 'counts' | 'opens';

export interface ErrorPolicy {
  readonly decision: ErrorDecision;
  readonly breaker: BreakerEffect;
  readonly httpStatus: number;
  /** Whether a person should be told even when the job ends well. */
  readonly alert: boolean;
  /** Whether the caller may send the same request again and expect another outcome. */
  readonly retryable: boolean;
}

function policy(
  decision: ErrorDecision,
  httpStatus: number,
  extra: Partial<Omit<ErrorPolicy, 'decision' | 'httpStatus'>> = {},
): ErrorPolicy {
  return Object.freeze({ decision, httpStatus, breaker: 'none', alert: false, retryable: false, ...extra });
}

export const errorPolicies = Object.freeze({
  request_invalid: policy('stop', 422),
  unauthorized: policy('stop', 401),
  forbidden: policy('stop', 403),
  not_found: policy('stop', 404),
  payload_too_large: policy('stop', 413),
  url_forbidden: policy('stop', 422),
  idempotency_in_progress: policy('stop', 409, { retryable: true }),
  idempotency_mismatch: policy('stop', 422),
  too_many_requests: policy('stop', 429, { retryable: true }),
  budget_exceeded: policy('next', 402),
  clip_unusable: policy('stop', 422),
  speech_unusable: policy('stop', 422),
  content_refused: policy('stop', 422),
  deadline_exceeded: policy('stop', 504, { retryable: true }),
  canceled: policy('stop', 409),
  output_exists: policy('stop', 409),
  credentials_rejected: policy('next', 502, { breaker: 'opens', alert: true }),
  provider_balance_exhausted: policy('next', 502, { breaker: 'opens', alert: true }),
  rate_limited: policy('wait', 503, { retryable: true }),
  provider_unavailable: policy('again', 502, { breaker: 'counts', retryable: true }),
  provider_timeout: policy('next', 504, { breaker: 'counts', retryable: true }),
  provider_failed: policy('next', 502, { breaker: 'counts' }),
  provider_protocol: policy('next', 502, { breaker: 'counts', alert: true }),
  not_supported: policy('next', 422),
  quality_rejected: policy('next', 422),
  model_missing: policy('next', 503),
  model_invalid: policy('next', 503),
  resource_exhausted: policy('next', 503, { retryable: true }),
  media_failed: policy('again', 500, { retryable: true }),
  worker_crashed: policy('again', 500, { retryable: true }),
  internal: policy('stop', 500, { alert: true }),
} satisfies Record<string, ErrorPolicy>);

export type ErrorCode = keyof typeof errorPolicies;

/** All codes, in the order in which the documentation lists them. */
// Object.keys is typed string[] because objects may have more keys than their type; this one is frozen above.
export const errorCodes = Object.freeze(Object.keys(errorPolicies) as ErrorCode[]);
