import type { ErrorRequestHandler, Request, Response } from 'express';
import { STATUS_CODES } from 'node:http';
import { InvalidCursorError, LipsyncError, toLipsyncError, type ErrorCode } from '@lipsync/core/host';
import type { FieldProblem } from '@lipsync/core/contract';
import type { Logger } from '@lipsync/core/host';

export type { FieldProblem };

interface HttpErrorOptions {
  readonly cause?: unknown;
  /** Overrides the status of the code, e.g. 405 or 415. */
  readonly httpStatus?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fields?: readonly FieldProblem[];
}

/** An error with HTTP details: status, headers, problems by field. */
export class HttpError extends LipsyncError {
  readonly httpStatus: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fields: readonly FieldProblem[];

  constructor(code: ErrorCode, message: string, options: HttpErrorOptions = {}) {
    super(code, message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'HttpError';
    this.httpStatus = options.httpStatus ?? this.policy.httpStatus;
    this.headers = options.headers ?? {};
    this.fields = options.fields ?? [];
  }
}

/** Maximum number of problems in `errors`. A batch of 500 items can have tens of thousands. */
const maxListedProblems = 2_000;
/** Maximum length of the problems that are repeated in `detail`. */
const maxSummaryLength = 1_000;

/** Codes of lip-sync jobs, single or of a batch, that are refused because of their consent. */
export const consentErrorCodes = ['consent_required', 'consent_expired'] as const;

/** Codes of requests that are refused because of single fields. */
export const refusalCodes = ['request_invalid', 'url_forbidden', ...consentErrorCodes] as const;
export type RefusalCode = (typeof refusalCodes)[number];

/** The error of a request or query with invalid fields; `detail` repeats the problems for people. */
export function invalidFields(
  what: 'request' | 'query',
  fields: readonly FieldProblem[],
  code: RefusalCode = 'request_invalid',
): HttpError {
  const shown = fields.slice(0, maxListedProblems);
  const listed = shown.map(describeProblem).join('; ');
  const summary = listed.length > maxSummaryLength ? `${listed.slice(0, maxSummaryLength)}…` : listed;
  return new HttpError(code, `The ${what} is invalid: ${summary}`, { fields: shown });
}

/** Most messages continue the name of the field; those of the URL policy are sentences of their own. */
function describeProblem({ field, message }: FieldProblem): string {
  return /^[A-Z]/.test(message) ? `${field}: ${message.replace(/\.$/, '')}` : `${field} ${message}`;
}

/** The body of every error response (RFC 9457). */
interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly request_id: string;
  readonly errors: readonly FieldProblem[];
}

function toProblem(error: HttpError, requestId: string): Problem {
  return {
    type: `urn:lipsync:problem:${error.code}`,
    title: STATUS_CODES[error.httpStatus] ?? 'Error',
    status: error.httpStatus,
    detail: error.message,
    code: error.code,
    retryable: error.policy.retryable,
    request_id: requestId,
    errors: error.fields,
  };
}

/** Returns the problem document of a thrown value. */
export function describeThrown(thrown: unknown, requestId: string): Problem {
  return toProblem(toHttpError(thrown), requestId);
}

/** Converts a thrown value to the error response; unknown errors become `internal`. */
function toHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown;
  if (thrown instanceof URIError)
    return new HttpError('not_found', 'Unknown route. /docs lists the routes of this API.', {
      cause: thrown,
    });
  if (thrown instanceof InvalidCursorError)
    return invalidFields('query', [{ field: 'cursor', message: thrown.message.replace(/^cursor /, '') }]);
  const status = statusOfParserError(thrown);
  if (status !== undefined) return refusalOfParser(status, thrown);
  const error = toLipsyncError(thrown);
  const headers = error.policy.httpStatus === 503 ? { 'Retry-After': '5' } : {};
  return new HttpError(error.code, error.message, { cause: error, headers });
}

/** Errors of the Express body parser have a 4xx `status`. */
function statusOfParserError(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('status' in thrown) || typeof thrown.status !== 'number') return undefined;
  return thrown.status >= 400 && thrown.status < 500 ? thrown.status : undefined;
}

function refusalOfParser(status: number, cause: unknown): HttpError {
  if (status === 413) return new HttpError('payload_too_large', describeLimit(cause), { cause });
  if (status === 415)
    return new HttpError(
      'request_invalid',
      'The encoding of the body is not supported. Send UTF-8 without compression.',
      {
        cause,
        httpStatus: 415,
      },
    );
  return new HttpError('request_invalid', 'The body is incomplete or its compression is damaged. Send it again.', {
    cause,
    httpStatus: 400,
  });
}

/** The parser's error has the limit in bytes. */
function describeLimit(cause: unknown): string {
  const limit = cause instanceof Error && 'limit' in cause ? Number(cause.limit) : Number.NaN;
  const size = Number.isInteger(limit) ? `larger than ${limit / 1024} KiB` : 'too large';
  return `The JSON body is ${size}. Put large metadata elsewhere.`;
}

/** Last handler of the app: sends every error as `application/problem+json` and logs those with status 5xx. */
export function answerProblems(logger: Logger): ErrorRequestHandler {
  return (thrown: unknown, _request: Request, response: Response, _next) => {
    const error = toHttpError(thrown);
    if (error.httpStatus >= 500)
      logger.error({ requestId: response.locals.requestId, error: thrown }, 'request failed');
    if (response.headersSent || response.destroyed) {
      // The response has started: closing the connection is the only way to signal that it is incomplete.
      response.destroy();
      return;
    }
    response.status(error.httpStatus).set(error.headers).type('application/problem+json');
    response.send(JSON.stringify(toProblem(error, response.locals.requestId)));
  };
}
