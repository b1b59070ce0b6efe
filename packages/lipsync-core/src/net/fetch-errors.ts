import { errors } from 'undici';
import { abortError, LipsyncError } from '../errors/index.ts';

export type FetchFailure =
  | 'unknown_host'
  | 'unreachable'
  | 'status'
  | 'time_limit'
  | 'stalled'
  | 'cut_off'
  | 'redirects'
  | 'encoding';

/**
 * A source that cannot be fetched. The job cannot go on with this URL, so the code is final; `details.retryable` says
 * whether the same URL may work later.
 */
export function fetchFailed(
  reason: FetchFailure,
  explanation: string,
  { retryable, cause, status }: { readonly retryable: boolean; readonly cause?: unknown; readonly status?: number },
): LipsyncError {
  return new LipsyncError('request_invalid', `The file could not be fetched: ${explanation}`, {
    cause,
    details: { reason, retryable, ...(status === undefined ? {} : { status }) },
  });
}

export function tooLarge(maxBytes: number): LipsyncError {
  return new LipsyncError(
    'payload_too_large',
    `The file at the URL is larger than the ${maxBytes} bytes allowed. Use a smaller one.`,
    {
      details: { maxBytes },
    },
  );
}

/** Says in our words why a request or its body broke: our own errors and aborts first, then the client's. */
export function toFetchError(
  error: unknown,
  signals: { readonly caller: AbortSignal | undefined; readonly timeLimit: AbortSignal },
): LipsyncError {
  if (signals.caller?.aborted) return abortError(signals.caller);
  if (LipsyncError.isInstance(error)) return error;
  if (signals.timeLimit.aborted) {
    return fetchFailed('time_limit', 'its server took longer than allowed to send it.', {
      retryable: true,
      cause: error,
    });
  }
  if (isStall(error)) return fetchFailed('stalled', 'its server stopped sending.', { retryable: true, cause: error });
  return fetchFailed('unreachable', 'its server could not be reached or closed the connection.', {
    retryable: true,
    cause: error,
  });
}

function isStall(error: unknown): boolean {
  return (
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError ||
    error instanceof errors.ConnectTimeoutError
  );
}
