import { jsonAnswer, type Answer } from './answer.ts';

interface HeygenErrorDetails {
  /** The field that is wrong. */
  readonly param?: string | undefined;
  readonly retryAfterS?: number | undefined;
}

/** A refusal as HeyGen words it: HTTP status, `error.code`, message. */
export class HeygenError extends Error {
  readonly status: number;
  readonly code: string;
  readonly param: string | undefined;
  readonly retryAfterS: number | undefined;

  constructor(status: number, code: string, message: string, details: HeygenErrorDetails = {}) {
    super(message);
    this.name = 'HeygenError';
    this.status = status;
    this.code = code;
    this.param = details.param;
    this.retryAfterS = details.retryAfterS;
  }
}

export function invalidParameter(param: string, message: string): HeygenError {
  return new HeygenError(400, 'invalid_parameter', message, { param });
}

/** The body that goes with a refusal; `Retry-After` where there is one to give. */
export function errorBody({ code, message, param }: Pick<HeygenError, 'code' | 'message' | 'param'>): object {
  const docUrl = `https://developers.heygen.com/docs/error-codes#${code}`;
  return { error: { code, message, ...(param === undefined ? {} : { param }), doc_url: docUrl } };
}

export function errorAnswer(error: HeygenError): Answer {
  const headers = error.retryAfterS === undefined ? {} : { 'Retry-After': String(error.retryAfterS) };
  return jsonAnswer(error.status, errorBody(error), headers);
}

/** What was thrown, as a refusal: our own as they are, errors of the body parser by their status, the rest as a fault. */
export function toHeygenError(thrown: unknown): HeygenError {
  if (thrown instanceof HeygenError) return thrown;
  const status = thrown instanceof Error && 'status' in thrown ? thrown.status : undefined;
  if (status === 413) return new HeygenError(413, 'payload_too_large', 'Request body is too large');
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new HeygenError(400, 'invalid_parameter', 'Request body is not valid JSON');
  return new HeygenError(500, 'internal_error', thrown instanceof Error ? thrown.message : 'Internal error');
}
