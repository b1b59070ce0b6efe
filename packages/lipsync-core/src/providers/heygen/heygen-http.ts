import type { AxiosResponse } from 'axios';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { annotateSpan, traced } from '../../tracing/spans.ts';
import { cleanVendorText, createRefusalError, createUnacknowledgedError, HeygenError } from './heygen-errors.ts';
import { parseEnvelope, type Envelope } from './heygen-wire.ts';

/** Responses of the API are a few kilobytes long. */
const maxResponseBytes = 1024 ** 2;
const maxRetryAfterMs = 3_600_000;

export interface HeygenHttpOptions {
  /** As `parseHeygenEndpoint` returns it. */
  readonly endpointUrl: string;
  readonly apiKey: string;
}

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Path below the endpoint. */
  readonly path: `/v3/${string}`;
  readonly query?: Readonly<Record<string, string>>;
  /** A plain object is sent as JSON, a form as multipart. */
  readonly body?: object;
  readonly idempotencyKey?: string;
  /** Accepts a response that has this data and an error; otherwise an error always fails the call. */
  readonly acceptsData?: (data: unknown) => boolean;
  /** Covers connection, request and response. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Calls the API; the only code that sends the key. Calls throw the error of `createRefusalError`,
 * `provider_unavailable` without a response, `provider_protocol` for an invalid response, or the reason of the aborted
 * signal.
 */
export class HeygenHttp {
  readonly #endpointUrl: string;
  readonly #apiKey: string;

  constructor({ endpointUrl, apiKey }: HeygenHttpOptions) {
    this.#endpointUrl = endpointUrl;
    this.#apiKey = apiKey;
  }

  /** Returns the data of a response; null without data. */
  async call(call: ApiCall): Promise<unknown> {
    return (await this.callForPage(call))?.data ?? null;
  }

  /** Returns the whole envelope, including the token of the next page of a list; null for an empty response. */
  callForPage(call: ApiCall): Promise<Envelope | null> {
    const { method, path } = call;
    const attributes = { 'http.request.method': method };
    return traced(`heygen ${method} ${withoutIds(path)}`, { kind: 'CLIENT', attributes }, () => this.#send(call));
  }

  async #send(call: ApiCall): Promise<Envelope | null> {
    const { method, path, query, body, idempotencyKey, signal } = call;
    const name = `${method} ${path}`;
    // Loaded on demand, because few processes of the service call a vendor.
    const { default: axios } = await import('axios');
    if (signal.aborted) throw abortError(signal);
    try {
      const response = await axios.request<string>({
        method,
        url: `${this.#endpointUrl}${path}`,
        headers: {
          'X-Api-Key': this.#apiKey,
          Accept: 'application/json',
          // HeyGen's gateway rejects some unusual user agents.
          'User-Agent': 'lipsync',
          ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
        },
        ...(query && { params: query }),
        ...(body && { data: body }),
        responseType: 'text',
        // Keeps the text; axios would otherwise return invalid JSON as a string.
        transformResponse: (text: unknown) => text,
        maxContentLength: maxResponseBytes,
        maxBodyLength: Infinity,
        // A redirect would send the key to another server.
        maxRedirects: 0,
        proxy: false,
        validateStatus: () => true,
        signal: AbortSignal.any([signal, AbortSignal.timeout(call.timeoutMs)]),
      });
      annotateSpan({ 'http.response.status_code': response.status });
      return this.#readResponse(response, name, call.acceptsData);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      if (!axios.isAxiosError(error)) throw error;
      // The axios error is not kept as cause, because it contains the request headers.
      throw createUnacknowledgedError(name, new Error(`${error.code ?? 'no code'}: ${error.message}`));
    }
  }

  #readResponse(
    { status, headers, data: body }: AxiosResponse<string>,
    callName: string,
    acceptsData: ApiCall['acceptsData'] = () => false,
  ): Envelope | null {
    const isSuccess = status >= 200 && status < 300;
    if (isSuccess && body === '') return null;
    const envelope = parseEnvelope(body);
    if (isSuccess && envelope && (envelope.reason === null || acceptsData(envelope.data))) return envelope;
    if (isSuccess && envelope === null) {
      throw new HeygenError('provider_protocol', `HeyGen returned an invalid response to ${callName}.`, {
        httpStatus: status,
      });
    }
    throw createRefusalError(
      {
        httpStatus: status,
        reason: this.#cleanReason(envelope),
        requestId: parseRequestId(headers['x-request-id']),
        retryAfterMs: parseRetryAfterMs(headers['retry-after'], Date.now()),
      },
      callName,
    );
  }

  #cleanReason(envelope: Envelope | null): Envelope['reason'] {
    if (!envelope?.reason) return null;
    const clean = (text: string | null): string | null => (text === null ? null : cleanVendorText(text, this.#apiKey));
    return { code: clean(envelope.reason.code), message: clean(envelope.reason.message) };
  }
}

/** Ids of operations and files would make each name of a span unique. */
function withoutIds(path: string): string {
  return path.replaceAll(/\/(?!v\d+(?:\/|$))[^/]*\d[^/]*/g, '/{id}');
}

function parseRequestId(header: unknown): string | null {
  return typeof header === 'string' && /^[\w:.-]{1,128}$/.test(header) ? header : null;
}

/** Parses a `Retry-After` header (seconds or a date), limited to one hour; null for anything else. Pure. */
export function parseRetryAfterMs(header: unknown, nowMs: number): number | null {
  if (typeof header !== 'string') return null;
  const text = header.trim();
  const isDate = text.endsWith('GMT');
  if (!isDate && !/^\d+(\.\d+)?$/.test(text)) return null;
  const waitMs = isDate ? Date.parse(text) - nowMs : Number(text) * 1000;
  return Number.isFinite(waitMs) ? Math.min(maxRetryAfterMs, Math.max(0, waitMs)) : null;
}

export interface HeygenEndpoint {
  /** Scheme, host, port and base path, without a slash at its end. */
  readonly url: string;
  /** Corrections and risks, for the log at start. */
  readonly warnings: readonly string[];
}

/**
 * Parses HEYGEN_API_ENDPOINT. Removes a version at its end with a warning, because the paths of calls contain their
 * own. Throws `request_invalid` for text that is not an API URL. Pure.
 */
export function parseHeygenEndpoint(text: string): HeygenEndpoint {
  const parsed = URL.parse(text.trim());
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.hostname === '')
    throw invalidEndpoint('must be an http or https URL, for example https://api.heygen.com');
  if (parsed.username !== '' || parsed.password !== '')
    throw invalidEndpoint('must not contain a user name or password; set the key in HEYGEN_API_KEY');
  if (parsed.search !== '' || parsed.hash !== '') throw invalidEndpoint('must not contain ? or #');
  const path = parsed.pathname.replace(/\/+$/, '');
  const version = /\/v\d+$/.exec(path)?.[0] ?? '';
  const url = `${parsed.origin}${path.slice(0, path.length - version.length)}`;
  const warnings: string[] = [];
  if (version !== '')
    warnings.push(`HEYGEN_API_ENDPOINT ends with ${version}, which is ignored: the service calls ${url}/v3.`);
  if (parsed.protocol === 'http:' && !isLoopback(parsed.hostname))
    warnings.push('HEYGEN_API_ENDPOINT uses http: the API key is sent unencrypted. Use https.');
  return { url, warnings };
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function invalidEndpoint(reason: string): LipsyncError {
  return new LipsyncError('request_invalid', `HEYGEN_API_ENDPOINT ${reason}.`);
}
