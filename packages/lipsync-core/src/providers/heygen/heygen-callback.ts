import { createHmac, timingSafeEqual } from 'node:crypto';

/** The attempt whose operation has ended, according to a verified callback. */
export interface CallbackAttempt {
  readonly jobId: string;
  /** Index among the job's attempts, from 0. */
  readonly index: number;
}

/** Path of the callback route, below the public base URL. */
export const heygenCallbackPath = '/callbacks/heygen';

/** Query parameter of the token. The token is not part of the path, because paths are logged. */
export const heygenCallbackTokenParameter = 'token';

/**
 * Creates the URL that HeyGen calls when the operation of an attempt ends. `attemptName` is the attempt's idempotency
 * key. The token is an HMAC with the API key, so that a callback is verified without a lookup. Deterministic, because
 * a repeated create request must be identical. Pure.
 */
export function createHeygenCallbackUrl(publicBaseUrl: string, apiKey: string, attemptName: string): string {
  const query = `${heygenCallbackTokenParameter}=${createToken(apiKey, attemptName)}`;
  return `${publicBaseUrl}${heygenCallbackPath}/${attemptName}?${query}`;
}

/** Returns the attempt of a callback; undefined unless its token is valid. Compares in constant time. Pure. */
export function verifyCallback(apiKey: string, attemptName: string, token: string): CallbackAttempt | undefined {
  const [, jobId, index] = /^([\w-]{1,64})-(\d{1,4})$/.exec(attemptName) ?? [];
  const given = Buffer.from(token);
  const expected = Buffer.from(createToken(apiKey, attemptName));
  if (jobId === undefined || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return { jobId, index: Number(index) };
}

function createToken(apiKey: string, attemptName: string): string {
  return createHmac('sha256', apiKey).update(`lipsync heygen callback ${attemptName}`).digest('base64url');
}
