import { ProviderError, type ErrorCode, type ProviderErrorOptions } from '../../errors/index.ts';

/** The error of a response; a part that HeyGen omits is null. */
export interface VendorReason {
  readonly code: string | null;
  readonly message: string | null;
}

/** A call to HeyGen failed. */
export class HeygenError extends ProviderError {
  constructor(code: ErrorCode, message: string, options: Omit<ProviderErrorOptions, 'provider'> = {}) {
    super(code, message, { ...options, provider: 'heygen' });
    this.name = 'HeygenError';
  }
}

/** An error response of HeyGen. */
export interface Refusal {
  readonly httpStatus: number;
  /** Null when the response contains none, such as the page of a gateway. */
  readonly reason: VendorReason | null;
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;
}

/** Error codes of HeyGen. They take precedence over the HTTP status. */
const codesByReason: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  // The request is malformed: a defect of this service that neither a retry nor the user can fix.
  ['invalid_parameter', 'provider_protocol'],
  ['download_failed', 'provider_failed'],
  ['content_policy_violation', 'content_refused'],
  ['resource_limit_reached', 'provider_balance_exhausted'],
  ['resource_limit_exceeded', 'provider_balance_exhausted'],
  ['unauthorized', 'credentials_rejected'],
  ['authentication_failed', 'credentials_rejected'],
  ['insufficient_credit', 'provider_balance_exhausted'],
  ['trial_limit_exceeded', 'provider_balance_exhausted'],
  ['plan_upgrade_required', 'provider_balance_exhausted'],
  ['forbidden', 'credentials_rejected'],
  ['resource_access_denied', 'credentials_rejected'],
  ['ai_vendor_access_restricted', 'credentials_rejected'],
  ['resource_not_found', 'provider_protocol'],
  ['not_found', 'provider_protocol'],
  ['asset_not_found', 'provider_protocol'],
  // A call with the same idempotency key is in progress; a retry gets its response.
  ['request_in_progress', 'rate_limited'],
  ['resource_not_ready', 'rate_limited'],
  // The asset is still being processed. If it is lost, the time limit of the attempt ends the retries.
  ['asset_not_available', 'rate_limited'],
  ['conflict', 'provider_protocol'],
  ['payload_too_large', 'not_supported'],
  ['rate_limit_exceeded', 'rate_limited'],
  ['quota_exceeded', 'provider_balance_exhausted'],
  ['internal_error', 'provider_unavailable'],
  ['service_unavailable', 'provider_unavailable'],
  ['gateway_timeout', 'provider_unavailable'],
]);

/** After these codes, this call or an earlier one with its idempotency key may have started an operation. */
const inconclusiveReasons: ReadonlySet<string> = new Set([
  'request_in_progress',
  'conflict',
  'internal_error',
  'service_unavailable',
  'gateway_timeout',
]);

const codesByStatus: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'credentials_rejected'],
  [402, 'provider_balance_exhausted'],
  [403, 'credentials_rejected'],
  [408, 'provider_unavailable'],
  [409, 'rate_limited'],
  [413, 'not_supported'],
  [425, 'rate_limited'],
  [429, 'rate_limited'],
]);

const adviceByCode: Readonly<Partial<Record<ErrorCode, string>>> = {
  credentials_rejected: 'HeyGen rejected the API key. Check HEYGEN_API_KEY and the permissions of its account.',
  provider_balance_exhausted:
    'The HeyGen account has no balance left for this job. Add funds to its API wallet, or upgrade its plan.',
  rate_limited: 'HeyGen accepts no more requests at the moment. Try again later.',
  provider_unavailable: 'HeyGen is currently unavailable. Try again later.',
  content_refused: 'HeyGen refused the content of the clip or the speech audio. Use other content.',
  not_supported: 'HeyGen does not accept files of this size. Use a shorter or smaller clip.',
  provider_failed: 'HeyGen could not process the files. Use another clip or speech recording.',
};

/** Creates the error of a refused call. `details` contains `vendorCode` and `requestId` if they are known. */
export function createRefusalError(refusal: Refusal, callName: string): HeygenError {
  const { httpStatus, reason, requestId, retryAfterMs } = refusal;
  const code = toErrorCode(httpStatus, reason?.code ?? null);
  const vendorText = [reason?.message ?? '', reason?.code ? `(${reason.code})` : ''].filter((part) => part !== '');
  const message = [
    adviceByCode[code] ?? 'HeyGen returned an unexpected response. Report this error.',
    `The response to ${callName} has HTTP status ${httpStatus}${vendorText.length === 0 ? '' : `: ${vendorText.join(' ')}`}.`,
    ...(requestId === null ? [] : [`Its request id is ${requestId}.`]),
  ].join(' ');
  return new HeygenError(code, message, {
    httpStatus,
    retryAfterMs,
    requestOutcome: isConclusive(httpStatus, reason?.code?.toLowerCase() ?? null) ? 'refused' : 'unknown',
    details: { ...(reason?.code && { vendorCode: reason.code }), ...(requestId !== null && { requestId }) },
  });
}

function toErrorCode(httpStatus: number, reason: string | null): ErrorCode {
  const known = reason === null ? undefined : codesByReason.get(reason.toLowerCase());
  if (known !== undefined) return known;
  if (httpStatus >= 500) return 'provider_unavailable';
  return codesByStatus.get(httpStatus) ?? 'provider_protocol';
}

/** Whether the call certainly started nothing. A server error leaves that open. */
function isConclusive(httpStatus: number, reason: string | null): boolean {
  if (reason !== null && inconclusiveReasons.has(reason)) return false;
  const isKnown = reason !== null && codesByReason.has(reason);
  // A success status, a redirect or a conflict is conclusive only with a known error code.
  if (httpStatus < 300 || httpStatus === 409) return isKnown;
  return httpStatus >= 400 && httpStatus < 500 && httpStatus !== 408;
}

/** Creates the error of a call without a response: HeyGen may or may not have received it. */
export function createUnacknowledgedError(callName: string, cause: Error): HeygenError {
  return new HeygenError(
    'provider_unavailable',
    `HeyGen is unreachable, or did not respond to ${callName} in time. Try again later.`,
    { cause },
  );
}

/** Known failure messages of operations, which have no error code. */
const failurePatterns: readonly (readonly [RegExp, ErrorCode])[] = [
  [/content[- ]?policy|policy violation|moderation|prohibited|inappropriate/i, 'content_refused'],
  // Caused by this clip or speech, not by HeyGen's health; another provider may support it.
  [/audio is missing|audio.*corrupt|no audio/i, 'not_supported'],
  // "Lip-sync failed" names the product, not the lips in the clip.
  [/\b(faces?|lips?(?![\s-]*sync)|mouth)\b/i, 'not_supported'],
  [/duration|length/i, 'not_supported'],
];

/** The error code of a failed operation, from its failure message; `provider_failed` for an unknown message. Pure. */
export function toFailureCode(message: string): ErrorCode {
  return failurePatterns.find(([pattern]) => pattern.test(message))?.[1] ?? 'provider_failed';
}

const maxTextLength = 500;

/**
 * Makes HeyGen's text safe to show and store: one line of limited length, without the key and link signatures. Pure.
 */
export function cleanVendorText(text: string, apiKey: string): string {
  const line = text
    .replaceAll(apiKey, '[key]')
    .replace(/(https?:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/g, '$1')
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  return line.length > maxTextLength ? `${line.slice(0, maxTextLength)}…` : line;
}
