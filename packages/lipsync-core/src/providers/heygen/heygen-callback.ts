import { createHmac, timingSafeEqual } from 'node:crypto';

/** Names an attempt in the URL that HeyGen calls, so that nothing has to be looked up to see whether a call is genuine. */
export interface CallbackAttempt {
  readonly jobId: string;
  /** Its place among the job's attempts, from 0. */
  readonly index: number;
}

/** Where the API takes callbacks, below its public address. */
export const heygenCallbackPath = '/callbacks/heygen';

/** The parameter that holds the token. Not a part of the path: paths are written into logs. */
export const heygenCallbackTokenParameter = 'token';

/**
 * The URL that HeyGen is to call when the operation of an attempt has ended; `attemptName` is the attempt's idempotency
 * key. Only who knows the API key can make its token, which HeyGen does. The same each time, as the idempotency of a
 * create demands. Pure.
 */
export function heygenCallbackUrl(publicBaseUrl: string, apiKey: string, attemptName: string): string {
  return `${publicBaseUrl}${heygenCallbackPath}/${attemptName}?${heygenCallbackTokenParameter}=${tokenOf(apiKey, attemptName)}`;
}

/** The attempt that a call is about; undefined unless its token is the one that was given out for it. Takes the same time for every token. Pure. */
export function attemptOfCallback(apiKey: string, attemptName: string, token: string): CallbackAttempt | undefined {
  const [, jobId, index] = /^([\w-]{1,64})-(\d{1,4})$/.exec(attemptName) ?? [];
  const given = Buffer.from(token);
  const expected = Buffer.from(tokenOf(apiKey, attemptName));
  if (jobId === undefined || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return { jobId, index: Number(index) };
}

function tokenOf(apiKey: string, attemptName: string): string {
  return createHmac('sha256', apiKey).update(`lipsync heygen callback ${attemptName}`).digest('base64url');
}
