import type { ErrorRequestHandler, Request, Response } from 'express';
import { STATUS_CODES } from 'node:http';
import { LipsyncError, toLipsyncError, type ErrorCode } from '@lipsync/core';
import type { Logger } from '@lipsync/core';
import { drainRefusedBody } from './refused-body.ts';

/** What is wrong with one field of a request, named as the caller wrote it. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

interface HttpErrorOptions {
  readonly cause?: unknown;
  /** Where the status of the answer is narrower than what the code says, e.g. 405 or 415. */
  readonly httpStatus?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fields?: readonly FieldProblem[];
}

/** A refusal that carries what only HTTP knows: status, headers, problems field by field. */
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

/** The body of every error answer (RFC 9457). */
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

/** KeyedMutex whatever a handler threw into the refusal to answer with; what is not ours becomes `internal`. */
function toHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown;
  if (thrown instanceof URIError)
    return new HttpError('not_found', 'There is nothing at this address.', { cause: thrown });
  const status = statusOfParserError(thrown);
  if (status !== undefined) return refusalOfParser(status, thrown);
  const error = toLipsyncError(thrown);
  const headers = error.policy.httpStatus === 503 ? { 'Retry-After': '5' } : {};
  return new HttpError(error.code, error.message, { cause: error, headers });
}

/** Errors of Express' own body parser carry a 4xx `status`. */
function statusOfParserError(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('status' in thrown) || typeof thrown.status !== 'number') return undefined;
  return thrown.status >= 400 && thrown.status < 500 ? thrown.status : undefined;
}

function refusalOfParser(status: number, cause: unknown): HttpError {
  if (status === 413)
    return new HttpError('payload_too_large', 'The JSON body is larger than 64 KiB. Put large metadata elsewhere.', {
      cause,
    });
  if (status === 415)
    return new HttpError('request_invalid', 'The body is encoded in a way that is not understood. Send plain UTF-8.', {
      cause,
      httpStatus: 415,
    });
  return new HttpError('request_invalid', 'The body is not valid JSON.', { cause, httpStatus: 400 });
}

/** The last handler of the app: answers every error as `application/problem+json` and logs those that are ours. */
export function answerProblems(logger: Logger): ErrorRequestHandler {
  return (thrown: unknown, request: Request, response: Response, _next) => {
    const error = toHttpError(thrown);
    if (error.httpStatus >= 500)
      logger.error({ requestId: response.locals.requestId, error: thrown }, 'request failed');
    if (response.headersSent) {
      // Half an answer cannot be taken back; cutting the connection is the only way to say that it is not whole.
      response.destroy();
      return;
    }
    drainRefusedBody(request);
    response.status(error.httpStatus).set(error.headers).type('application/problem+json');
    response.send(JSON.stringify(toProblem(error, response.locals.requestId)));
  };
}
