import type { ProviderKind } from '../contract/provider-types.ts';
import { errorPolicies, type ErrorCode } from '../errors/index.ts';

/** Work that has failed. */
export type RetryStep =
  /** Downloading a clip or speech from the URL in the request. */
  | { readonly type: 'input_download' }
  /** Probing, analyzing or copying media outside of any provider. */
  | { readonly type: 'media_step' }
  /** A run of a job whose worker crashed. */
  | { readonly type: 'run' }
  /** A vendor call within a remote attempt. */
  | { readonly type: 'remote_call'; readonly call: RemoteCall }
  /** A whole attempt of one provider. */
  | { readonly type: 'attempt'; readonly kind: ProviderKind; readonly maxTries: number };

export type RemoteCall = 'start' | 'check' | 'collect';

export interface RetryError {
  readonly code: ErrorCode;
  /** How long the vendor asked to wait, if it did. */
  readonly retryAfterMs?: number | null;
}

export interface RetryHistory {
  /** Failures of this step so far, including this one. Crashed workers do not count against a provider. */
  readonly failures: number;
  /** Time until the attempt's limit; for remote calls only. */
  readonly remainingMs?: number;
}

export type RetryDecision =
  | { readonly type: 'retry'; readonly afterMs: number }
  /** Nothing is wrong with the provider: the job waits, without a limit of its own, until this machine can store files. */
  | { readonly type: 'park' }
  | { readonly type: 'next_provider' }
  | { readonly type: 'fail' };

/** Tries of the call that starts an operation. */
const maxStartTries = 3;
const maxMediaTries = 2;
export const maxDownloadTries = 4;
/** Crashed runs in a row before the job fails with `worker_crashed`. */
const maxCrashedRuns = 5;

/** Errors of this machine, not of a vendor. */
const localStorageCodes: ReadonlySet<ErrorCode> = new Set(['resource_exhausted', 'storage_unwritable']);

/** Doubles with each further try. */
export const downloadPauseMs = 2_000;
const rateLimitPauseMs = 5_000;
const minRetryAfterMs = 1_000;
const firstBackoffMs = 500;
const maxBackoffMs = 10_000;

const park: RetryDecision = Object.freeze({ type: 'park' });
const fail: RetryDecision = Object.freeze({ type: 'fail' });
const nextProvider: RetryDecision = Object.freeze({ type: 'next_provider' });

/**
 * Decides what happens after a failure: retry after a pause, continue with the next provider of the plan, or fail the
 * job. This function alone decides it for the runner, the provider chain and remote attempts. Pure.
 *
 * Two other loops repeat work but decide nothing about a provider. Below this function, a provider repeats its own HTTP
 * transfers with p-retry; only what still fails afterwards arrives here. Above it, the queue runs a job again when the
 * job store was unavailable.
 *
 * Example: a 502 while downloading an input is `fetch_failed` and follows `decideInputDownload`. A 502 of a vendor call
 * is `provider_unavailable` and follows `decideRemoteCall`. A 502 while downloading a finished take is first repeated
 * with a fresh link inside the provider; then it is `provider_unavailable`, and the job waits to collect the take again.
 */
export function decideRetry(step: RetryStep, error: RetryError, history: RetryHistory): RetryDecision {
  switch (step.type) {
    case 'input_download':
      return decideInputDownload(error, history);
    case 'media_step':
      // ffmpeg may fail once for a passing reason. A second failure lies with the input.
      return error.code === 'media_failed' && history.failures < maxMediaTries ? retry(0) : fail;
    case 'run':
      // A job that crashes its worker again and again must not take every worker down.
      return error.code === 'worker_crashed' && history.failures < maxCrashedRuns ? retry(0) : fail;
    case 'remote_call':
      return decideRemoteCall(step.call, error, history);
    case 'attempt':
      return decideAttempt(step, error, history);
  }
}

function decideInputDownload({ code }: RetryError, { failures }: RetryHistory): RetryDecision {
  // Only transient failures have this code: connection lost, 429 or 5xx. A 404 or a wrong type is final, and a slow
  // source (`fetch_timeout`) would only use up as much time again.
  if (code !== 'fetch_failed' || failures >= maxDownloadTries) return fail;
  return retry(downloadPauseMs * 2 ** (failures - 1));
}

function decideRemoteCall(call: RemoteCall, error: RetryError, history: RetryHistory): RetryDecision {
  const { failures, remainingMs = Infinity } = history;
  // A take that is paid for is not given up because files cannot be stored at the moment.
  if (call === 'collect' && localStorageCodes.has(error.code)) return park;
  const pauseMs = remoteCallPauseMs(call, error, failures);
  if (pauseMs === null) return afterAttempt(error);
  // A running operation is checked once more at the limit. A request that cannot be sent before the limit is not sent.
  const isInTime = remainingMs > 0 && (call !== 'start' || pauseMs < remainingMs);
  return isInTime ? retry(Math.min(pauseMs, remainingMs)) : afterAttempt(error);
}

/** The pause before the call is repeated; null when it is not. */
function remoteCallPauseMs(call: RemoteCall, { code, retryAfterMs }: RetryError, failures: number): number | null {
  const { decision } = errorPolicies[code];
  const vendorPauseMs = typeof retryAfterMs === 'number' ? Math.max(minRetryAfterMs, retryAfterMs) : null;
  // A rate limit is no failure: the call is repeated until the attempt's time is up.
  if (decision === 'wait') return vendorPauseMs ?? rateLimitPauseMs;
  if (decision !== 'retry') return null;
  // The vendor's silence does not mean that the operation failed: it is checked, and the take that is paid for is
  // requested, until the attempt's time is up.
  if (failures >= maxTriesAfter(code, call === 'start' ? maxStartTries : Infinity)) return null;
  return vendorPauseMs ?? backoffMs(failures);
}

function decideAttempt(
  { kind, maxTries }: Extract<RetryStep, { type: 'attempt' }>,
  error: RetryError,
  { failures }: RetryHistory,
): RetryDecision {
  const { decision } = errorPolicies[error.code];
  const isTransient = decision === 'retry' || decision === 'wait';
  // A remote attempt has already waited for transient failures, one call at a time.
  if (kind === 'remote' || !isTransient || failures >= maxTriesAfter(error.code, maxTries)) return afterAttempt(error);
  return retry(backoffMs(failures));
}

/** Errors of the request or of this service end the job; all others are limited to the provider. */
function afterAttempt({ code }: RetryError): RetryDecision {
  return errorPolicies[code].decision === 'fail' ? fail : nextProvider;
}

function maxTriesAfter(code: ErrorCode, maxTries: number): number {
  return code === 'media_failed' ? Math.min(maxMediaTries, maxTries) : maxTries;
}

function backoffMs(failures: number): number {
  return Math.min(maxBackoffMs, firstBackoffMs * 2 ** (failures - 1));
}

function retry(afterMs: number): RetryDecision {
  return { type: 'retry', afterMs };
}
