import { ProviderError, type ErrorCode } from '../../errors/index.ts';
import type { VendorReason } from './heygen-wire.ts';

/** An answer by which HeyGen refused a call. */
export interface Refusal {
  readonly httpStatus: number;
  /** Null when the answer gave none, as pages of gateways do. */
  readonly reason: VendorReason | null;
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;
}

/** What HeyGen's codes mean to us. They decide before the HTTP status does. */
const codesOfReasons: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  // What we sent is malformed: our fault, and nothing that a repetition or the user could mend.
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
  // The same call, with the same key, is still being worked on: its answer will be ours.
  ['request_in_progress', 'rate_limited'],
  ['resource_not_ready', 'rate_limited'],
  // A file that is not through yet; one that is gone ends with the attempt's time.
  ['asset_not_available', 'rate_limited'],
  ['conflict', 'provider_protocol'],
  ['payload_too_large', 'not_supported'],
  ['rate_limit_exceeded', 'rate_limited'],
  ['quota_exceeded', 'provider_balance_exhausted'],
  ['internal_error', 'provider_unavailable'],
  ['service_unavailable', 'provider_unavailable'],
  ['gateway_timeout', 'provider_unavailable'],
]);

/** After these words an operation may have been begun all the same: by this call, or by an earlier one with its key. */
const openWords: ReadonlySet<string> = new Set([
  'request_in_progress',
  'conflict',
  'internal_error',
  'service_unavailable',
  'gateway_timeout',
]);

const codesOfStatuses: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'credentials_rejected'],
  [402, 'provider_balance_exhausted'],
  [403, 'credentials_rejected'],
  [408, 'provider_unavailable'],
  [409, 'rate_limited'],
  [413, 'not_supported'],
  [425, 'rate_limited'],
  [429, 'rate_limited'],
]);

const advice: Readonly<Partial<Record<ErrorCode, string>>> = {
  credentials_rejected:
    'HeyGen does not accept the API key. Check HEYGEN_API_KEY and what its account is allowed to do.',
  provider_balance_exhausted:
    'The HeyGen account has nothing left for this job. Top up its API wallet, or raise its plan.',
  rate_limited: 'HeyGen takes no more work just now.',
  provider_unavailable: 'HeyGen does not answer as it should just now.',
  content_refused: 'HeyGen refuses the content of the clip or the speech.',
  not_supported: 'HeyGen does not take files of this size.',
  provider_failed: 'HeyGen could not work with the files.',
};

/**
 * The error of a refused call. `details` holds `vendorCode` and `requestId` where they are known.
 */
export function refusalError({ httpStatus, reason, requestId, retryAfterMs }: Refusal, asked: string): ProviderError {
  const code = codeOf(httpStatus, reason?.code ?? null);
  const said = [reason?.message ?? '', reason?.code ? `(${reason.code})` : ''].filter((part) => part !== '').join(' ');
  const message = [
    advice[code] ?? `HeyGen does not do what was asked of it (${asked}).`,
    said === ''
      ? `It answered ${asked} with HTTP status ${httpStatus}.`
      : `It answered ${asked} with HTTP status ${httpStatus}: ${said}.`,
    ...(requestId === null ? [] : [`Its request id is ${requestId}.`]),
  ].join(' ');
  return new ProviderError(code, message, {
    provider: 'heygen',
    httpStatus,
    retryAfterMs,
    requestOutcome: isRefused(httpStatus, reason?.code?.toLowerCase() ?? null) ? 'refused' : 'unknown',
    details: { ...(reason?.code ? { vendorCode: reason.code } : {}), ...(requestId === null ? {} : { requestId }) },
  });
}

function codeOf(httpStatus: number, reason: string | null): ErrorCode {
  const known = reason === null ? undefined : codesOfReasons.get(reason.toLowerCase());
  if (known !== undefined) return known;
  if (httpStatus >= 500) return 'provider_unavailable';
  return codesOfStatuses.get(httpStatus) ?? 'provider_protocol';
}

/** Whether nothing was begun for sure. A fault of the server does not say so. */
function isRefused(httpStatus: number, reason: string | null): boolean {
  if (reason !== null && openWords.has(reason)) return false;
  const isKnown = reason !== null && codesOfReasons.has(reason);
  // What claims to be no error, or speaks of an earlier call, is believed where it names a fault of the caller's.
  if (httpStatus < 300 || httpStatus === 409) return isKnown;
  return httpStatus >= 400 && httpStatus < 500 && httpStatus !== 408;
}

/** A call that went unanswered: whether HeyGen heard it is not known. */
export function unansweredError(asked: string, cause: Error): ProviderError {
  return new ProviderError('provider_unavailable', `HeyGen could not be reached, or did not answer ${asked} in time.`, {
    provider: 'heygen',
    cause,
  });
}

/** The causes of failed operations that we know by their words; there is no code for them. All others are `provider_failed`. */
const failures: readonly (readonly [RegExp, ErrorCode])[] = [
  [/content[- ]?policy|policy violation|moderation|prohibited|inappropriate/i, 'content_refused'],
  // It lies with this clip or speech, not with the vendor's health; another engine may well do it.
  [/audio is missing|audio.*corrupt|no audio/i, 'not_supported'],
  [/\b(face|faces|lip|lips|mouth)\b/i, 'not_supported'],
  [/duration|length/i, 'not_supported'],
];

/** The code of an operation that failed, told from its text. Whatever it is, the text itself is kept. Pure. */
export function failureCode(message: string): ErrorCode {
  return failures.find(([pattern]) => pattern.test(message))?.[1] ?? 'provider_failed';
}

const longestText = 500;

/**
 * Text of the vendor's as it may be shown and stored: of bounded length, on one line, without the key, and without the
 * signatures of links in it.
 */
export function cleanVendorText(text: string, apiKey: string): string {
  const line = text
    .replaceAll(apiKey, '[key]')
    .replace(/(https?:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/g, '$1')
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  return line.length > longestText ? `${line.slice(0, longestText)}…` : line;
}
