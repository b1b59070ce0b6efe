import axios, { type AxiosResponse } from 'axios';
import { abortError, ProviderError } from '../../errors/index.ts';
import { cleanVendorText, refusalError, unansweredError } from './heygen-errors.ts';
import { parseEnvelope, type Envelope } from './heygen-wire.ts';

/** Answers of the API are a few kilobytes. */
const maxAnswerBytes = 1024 ** 2;
const longestRetryAfterMs = 3_600_000;

export interface HeygenHttpOptions {
  /** As `parseHeygenEndpoint` returns it. */
  readonly endpointUrl: string;
  readonly apiKey: string;
}

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below the endpoint; begins with `/v3/`. */
  readonly path: `/v3/${string}`;
  readonly query?: Readonly<Record<string, string>>;
  /** A plain object goes as JSON, a form as multipart. */
  readonly body?: object;
  readonly idempotencyKey?: string;
  /** Whether `data` is what was asked for, whatever remark stands beside it; without it any error counts. */
  readonly isAnswered?: (data: unknown) => boolean;
  /** For everything, from connecting to the last byte of the answer. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/** Calls of the API, each answered by its `data`, null where there is none; the only place that sends the key. */
export interface HeygenHttp {
  /**
   * Throws the error of `refusalError`, `provider_unavailable` (unanswered), `provider_protocol` (an answer that is
   * none), or what `signal` was aborted with.
   */
  call(call: ApiCall): Promise<unknown>;
  /** As `call`, answered by the whole envelope: that of a list says where the next page begins. */
  callForPage(call: ApiCall): Promise<unknown>;
}

export function createHeygenHttp({ endpointUrl, apiKey }: HeygenHttpOptions): HeygenHttp {
  const request = async ({
    method,
    path,
    query,
    body,
    idempotencyKey,
    isAnswered,
    limitMs,
    signal,
  }: ApiCall): Promise<Envelope | null> => {
    const asked = `${method} ${path}`;
    const response = await answered(asked, signal, limitMs, (either) =>
      axios.request<string>({
        method,
        url: `${endpointUrl}${path}`,
        headers: {
          'X-Api-Key': apiKey,
          Accept: 'application/json',
          'User-Agent': userAgent,
          ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
        },
        ...(query === undefined ? {} : { params: query }),
        ...(body === undefined ? {} : { data: body }),
        responseType: 'text',
        // As it came: what is no JSON must not become a string that looks like an answer.
        transformResponse: (text: unknown) => text,
        maxContentLength: maxAnswerBytes,
        ...commonOptions,
        signal: either,
      }),
    );
    return envelopeOf(response, asked, { apiKey, isAnswered });
  };
  return {
    call: async (call) => (await request(call))?.data ?? null,
    callForPage: (call) => request(call),
  };
}

/** Odd names were seen to be turned away by the vendor's gateway. */
const userAgent = 'lipsync';

/** No redirects, which would carry headers elsewhere; no proxy from the environment; every status is an answer. */
const commonOptions = Object.freeze({
  maxRedirects: 0,
  maxBodyLength: Infinity,
  proxy: false,
  validateStatus: () => true,
} as const);

/** Waits for an answer within a limit. Throws `provider_unavailable`, or what `signal` was aborted with. */
async function answered<Answer>(
  asked: string,
  signal: AbortSignal,
  limitMs: number,
  ask: (either: AbortSignal) => Promise<Answer>,
): Promise<Answer> {
  if (signal.aborted) throw abortError(signal);
  try {
    return await ask(AbortSignal.any([signal, AbortSignal.timeout(limitMs)]));
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    if (!axios.isAxiosError(error)) throw error;
    // Not the client's own error: it holds the request with all of its headers.
    throw unansweredError(asked, new Error(`${error.code ?? 'no code'}: ${error.message}`));
  }
}

/** Null for an answer that is empty and says that all went well. */
function envelopeOf(
  { status, headers, data: body }: AxiosResponse<string>,
  asked: string,
  {
    apiKey,
    isAnswered = () => false,
  }: Pick<HeygenHttpOptions, 'apiKey'> & { readonly isAnswered: ApiCall['isAnswered'] },
): Envelope | null {
  const isAnswer = status >= 200 && status < 300;
  if (isAnswer && body === '') return null;
  const envelope = parseEnvelope(body);
  if (isAnswer && envelope && (envelope.reason === null || isAnswered(envelope.data))) return envelope;
  if (isAnswer && envelope === null) {
    throw new ProviderError(
      'provider_protocol',
      `HeyGen answered ${asked} with something that is no answer of its API.`,
      { provider: 'heygen', httpStatus: status },
    );
  }
  throw refusalError(
    {
      httpStatus: status,
      reason: cleanReason(envelope, apiKey),
      requestId: requestIdOf(headers['x-request-id']),
      retryAfterMs: retryAfterMs(headers['retry-after'], Date.now()),
    },
    asked,
  );
}

function cleanReason(envelope: Envelope | null, apiKey: string): Envelope['reason'] {
  if (!envelope?.reason) return null;
  const clean = (text: string | null): string | null => (text === null ? null : cleanVendorText(text, apiKey));
  return { code: clean(envelope.reason.code), message: clean(envelope.reason.message) };
}

function requestIdOf(header: unknown): string | null {
  return typeof header === 'string' && /^[\w:.-]{1,128}$/.test(header) ? header : null;
}

/** Seconds or a date; at most an hour. Null for anything else. Pure. */
export function retryAfterMs(header: unknown, nowMs: number): number | null {
  if (typeof header !== 'string') return null;
  const text = header.trim();
  const isDate = text.endsWith('GMT');
  if (!isDate && !/^\d+(\.\d+)?$/.test(text)) return null;
  const waitMs = isDate ? Date.parse(text) - nowMs : Number(text) * 1000;
  return Number.isFinite(waitMs) ? Math.min(longestRetryAfterMs, Math.max(0, waitMs)) : null;
}
