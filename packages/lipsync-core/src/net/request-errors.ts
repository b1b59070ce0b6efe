import { abortError, LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';

export type RequestFailure =
  | 'unknown_host'
  | 'unreachable'
  | 'status'
  | 'time_limit'
  | 'stalled'
  | 'too_slow'
  | 'cut_off'
  | 'redirects'
  | 'encoding';

interface RequestErrorOptions {
  readonly retryable: boolean;
  readonly cause?: unknown;
  readonly status?: number;
}

/** Failures that used up the time of the request: repeating it at once would use up as much again. */
const slowFailures: ReadonlySet<RequestFailure> = new Set(['time_limit', 'stalled', 'too_slow']);

const advice = Object.freeze({
  fetch_failed: 'Try again later.',
  fetch_timeout: 'Try again later, or use a faster server.',
  request_invalid: 'Check the URL.',
});

/**
 * A request to a URL failed: `fetch_timeout` when the server is too slow, `fetch_failed` when the same request may
 * succeed later for another reason, else `request_invalid`.
 */
export class RequestError extends LipsyncError {
  readonly reason: RequestFailure;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** HTTP status of the answer; null when the failure is not about a status. */
  readonly status: number | null;
  /** The message without its first words, for a message that names the URL otherwise. */
  readonly explanation: string;
  /** What happened, without advice. */
  readonly finding: string;

  /** `explanation` completes the sentence "The request to the URL failed: …". */
  constructor(reason: RequestFailure, explanation: string, { retryable, cause, status }: RequestErrorOptions) {
    const code = !retryable ? 'request_invalid' : slowFailures.has(reason) ? 'fetch_timeout' : 'fetch_failed';
    const sentences = `${explanation}. ${advice[code]}`;
    super(code, `The request to the URL failed: ${sentences}`, { cause });
    this.name = 'RequestError';
    this.explanation = sentences;
    this.finding = explanation;
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
  signals: {
    readonly caller: AbortSignal | undefined;
    readonly timeLimit: AbortSignal;
    readonly responseLimit: AbortSignal;
  },
): LipsyncError {
  if (signals.caller?.aborted) return abortError(signals.caller);
  if (LipsyncError.isInstance(cause)) return cause;
  if (signals.timeLimit.aborted)
    return new RequestError('time_limit', 'the server exceeded the time limit', { retryable: true, cause });
  if (signals.responseLimit.aborted)
    return new RequestError('stalled', 'the server did not respond in time', { retryable: true, cause });
  if (isStall(cause)) return new RequestError('stalled', 'the server stopped responding', { retryable: true, cause });
  return new RequestError('unreachable', explainConnection(cause), { retryable: true, cause });
}

function explainConnection(cause: unknown): string {
  const code = errnoCode(cause) ?? '';
  if (isParserError(cause) || code === 'UND_ERR_HEADERS_OVERFLOW')
    return 'the response of the server is not valid HTTP';
  if (code === 'ECONNREFUSED') return 'the server refused the connection';
  if (/CERT|SIGNATURE/.test(code)) return `the certificate of the server is not valid (${code})`;
  if (['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(code)) return 'the server closed the connection';
  return 'the server is unreachable or closed the connection';
}

/** Some of undici's parser errors have no code. */
function isParserError(cause: unknown): boolean {
  return cause instanceof Error && cause.name === 'HTTPParserError';
}

const stalls: ReadonlySet<string | undefined> = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

function isStall(error: unknown): boolean {
  return stalls.has(errnoCode(error));
}
