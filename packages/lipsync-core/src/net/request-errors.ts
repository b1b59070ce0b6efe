import { errors } from 'undici';
import { abortError, LipsyncError } from '../errors/index.ts';

export type RequestFailure =
  | 'unknown_host'
  | 'unreachable'
  | 'status'
  | 'time_limit'
  | 'stalled'
  | 'cut_off'
  | 'redirects'
  | 'encoding';

interface RequestErrorOptions {
  readonly retryable: boolean;
  readonly cause?: unknown;
  readonly status?: number;
}

/** A request to a URL failed: `fetch_failed` when the same request may succeed later, else `request_invalid`. */
export class RequestError extends LipsyncError {
  readonly reason: RequestFailure;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** HTTP status of the answer; null when the failure is not about a status. */
  readonly status: number | null;

  /** `explanation` completes the sentence "The request to the URL failed: …". */
  constructor(reason: RequestFailure, explanation: string, { retryable, cause, status }: RequestErrorOptions) {
    const advice = retryable ? 'Try again later.' : 'Check the URL.';
    const code = retryable ? 'fetch_failed' : 'request_invalid';
    super(code, `The request to the URL failed: ${explanation}. ${advice}`, { cause });
    this.name = 'RequestError';
    this.reason = reason;
    this.retryable = retryable;
    this.status = status ?? null;
  }
}

export function responseTooLarge(maxBytes: number): LipsyncError {
  return new LipsyncError(
    'payload_too_large',
    `The file at the URL exceeds the limit of ${maxBytes} bytes. Use a smaller file.`,
    { details: { maxBytes } },
  );
}

/** Converts an error of a request or its body. An abort by the caller takes precedence over every other error. */
export function toRequestError(
  cause: unknown,
  signals: { readonly caller: AbortSignal | undefined; readonly timeLimit: AbortSignal },
): LipsyncError {
  if (signals.caller?.aborted) return abortError(signals.caller);
  if (LipsyncError.isInstance(cause)) return cause;
  if (signals.timeLimit.aborted)
    return new RequestError('time_limit', 'the server exceeded the time limit', { retryable: true, cause });
  if (isStall(cause)) return new RequestError('stalled', 'the server stopped responding', { retryable: true, cause });
  return new RequestError('unreachable', 'the server is unreachable or closed the connection', {
    retryable: true,
    cause,
  });
}

function isStall(error: unknown): boolean {
  return (
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError ||
    error instanceof errors.ConnectTimeoutError
  );
}
