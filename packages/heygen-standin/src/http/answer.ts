/** A response before it is sent, so that it can be stored for a repeated request, replaced by a fault, or dropped. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function jsonAnswer(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(value) };
}

/** The response envelope of one object. */
export function dataAnswer(data: unknown): Answer {
  return jsonAnswer(200, { data });
}

/** The response envelope of a page of a list. */
export function listAnswer(data: readonly unknown[], nextToken: string | null = null): Answer {
  return jsonAnswer(200, { data, has_more: nextToken !== null, next_token: nextToken });
}

/** An error of the object storage behind signed links, which answers in XML. */
export function xmlAnswer(status: number, code: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>Refused</Message></Error>`;
  return { status, headers: { 'Content-Type': 'application/xml' }, body };
}

interface HeygenErrorDetails {
  /** The invalid field. */
  readonly param?: string | undefined;
  readonly retryAfterS?: number | undefined;
}

/** An error of the HeyGen API: HTTP status, `error.code` and message. */
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

/** The response body of an error. */
export function errorBody({ code, message, param }: Pick<HeygenError, 'code' | 'message' | 'param'>): object {
  const docUrl = `https://developers.heygen.com/docs/error-codes#${code}`;
  return { error: { code, message, ...(param === undefined ? {} : { param }), doc_url: docUrl } };
}

export function errorAnswer(error: HeygenError): Answer {
  const headers = error.retryAfterS === undefined ? {} : { 'Retry-After': String(error.retryAfterS) };
  return jsonAnswer(error.status, errorBody(error), headers);
}

/** Converts body parser errors by their status and every other error to 500; keeps a HeygenError. */
export function toHeygenError(thrown: unknown): HeygenError {
  if (thrown instanceof HeygenError) return thrown;
  const status = thrown instanceof Error && 'status' in thrown ? thrown.status : undefined;
  if (status === 413) return new HeygenError(413, 'payload_too_large', 'Request body is too large');
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new HeygenError(400, 'invalid_parameter', 'Request body is not valid JSON');
  return new HeygenError(500, 'internal_error', thrown instanceof Error ? thrown.message : 'Internal error');
}
