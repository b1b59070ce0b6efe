import { LipsyncApiError, LipsyncClientError, LipsyncConnectionError } from './errors.ts';
import { readChunks, wait } from './waits.ts';

export interface ClientOptions {
  /** Address of the service, such as `https://lipsync.example.com`. */
  readonly baseUrl: string | URL;
  /** Secret of an API key; not needed for a service on the same machine without keys. */
  readonly apiKey?: string | undefined;
  /** Limit for one request without files. Default: 30 s. */
  readonly timeoutMs?: number;
  /** Limit for one request with files. Default: 30 min. */
  readonly uploadTimeoutMs?: number;
  /** A stream in which nothing arrives for this time is broken. Default: 60 s. */
  readonly idleTimeoutMs?: number;
  /** Further tries after a failure that may pass. Default: 4. */
  readonly maxRetries?: number;
  /** Delay before the first further try; doubles each time. Default: 500 ms. */
  readonly retryDelayMs?: number;
  /** A service that sends a longer `Retry-After` is not waited for. Default: 60 s. */
  readonly maxRetryAfterMs?: number;
  readonly fetch?: typeof globalThis.fetch;
}

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: object | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: FormData | string;
  readonly signal?: AbortSignal | undefined;
  /** Overrides `maxRetries` of the client. */
  readonly maxRetries?: number;
  /** Called before each further try. The service may have handled the request already. */
  readonly onRetry?: () => void;
}

const maxJsonBytes = 64 * 1_048_576;
const maxDelayMs = 30_000;

/**
 * Sends requests to the service, with limits and retries. Throws `LipsyncClientError`, and the reason of an aborted
 * signal.
 */
export class Transport {
  readonly idleTimeoutMs: number;
  readonly maxRetries: number;
  readonly #options: ClientOptions;
  readonly #baseUrl: string;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#baseUrl = String(options.baseUrl).replace(/\/+$/, '');
    if (!/^https?:\/\//.test(this.#baseUrl) || !URL.canParse(this.#baseUrl))
      throw new TypeError('baseUrl must be an http or https URL.');
    this.idleTimeoutMs = options.idleTimeoutMs ?? 60_000;
    this.maxRetries = options.maxRetries ?? 4;
  }

  /** Deletes what is at `path`. Returns the JSON of the response, and undefined once it is gone. */
  async delete<Body>(path: string, signal: AbortSignal | undefined): Promise<Body | undefined> {
    let isRepeated = false;
    const onRetry = (): void => void (isRepeated = true);
    try {
      return await this.requestJson<Body>({ method: 'DELETE', path, signal, onRetry });
    } catch (error) {
      // The response to the first try was lost.
      if (isRepeated && error instanceof LipsyncApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Returns the JSON of the response; undefined for `204`. */
  async requestJson<Body>(request: ApiRequest): Promise<Body | undefined> {
    return this.#send(request, async (response) => {
      if (response.status === 204) return undefined;
      // `as`: the type is the promise of the service; the callers check what they rely on.
      return parseBody(await this.#readText(response, request.signal), response) as Body;
    });
  }

  /** Returns a response with its body unread. The caller reads or cancels the body. */
  async open(request: ApiRequest): Promise<Response> {
    return this.#send(request, async (response) => response);
  }

  /** The delay before the next try; it grows with the number of failures and is spread over clients. */
  delayMs(failures: number, error?: unknown): number {
    const longest = Math.min((this.#options.retryDelayMs ?? 500) * 2 ** (failures - 1), maxDelayMs);
    const demanded = error instanceof LipsyncApiError ? (error.retryAfterMs ?? 0) : 0;
    return demanded + longest * (0.5 + Math.random() / 2);
  }

  async #send<Result>(request: ApiRequest, read: (response: Response) => Promise<Result>): Promise<Result> {
    const maxRetries = request.maxRetries ?? this.maxRetries;
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#tryOnce(request, read);
      } catch (error) {
        request.signal?.throwIfAborted();
        if (tries > maxRetries || !this.#mayRetry(error)) throw error;
        await wait(this.delayMs(tries, error), request.signal);
        request.onRetry?.();
      }
    }
  }

  #mayRetry(error: unknown): boolean {
    if (!(error instanceof LipsyncClientError) || !error.retryable) return false;
    const { maxRetryAfterMs = 60_000 } = this.#options;
    return !(error instanceof LipsyncApiError) || (error.retryAfterMs ?? 0) <= maxRetryAfterMs;
  }

  /** The limit covers the response too, unless `read` leaves its body unread. */
  async #tryOnce<Result>(request: ApiRequest, read: (response: Response) => Promise<Result>): Promise<Result> {
    const { timeoutMs = 30_000, uploadTimeoutMs = 1_800_000 } = this.#options;
    const limitMs = request.body instanceof FormData ? uploadTimeoutMs : timeoutMs;
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), limitMs);
    try {
      const response = await this.#fetch(request, limit.signal);
      if (!response.ok) throw await this.#refusal(response, request.signal);
      return await read(response);
    } catch (error) {
      request.signal?.throwIfAborted();
      if (limit.signal.aborted)
        throw new LipsyncConnectionError(`The service did not respond within ${limitMs} ms.`, error);
      if (error instanceof LipsyncClientError) throw error;
      throw new LipsyncConnectionError(`The service at ${this.#baseUrl} cannot be reached.`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  #fetch({ method = 'GET', path, query, headers, body, signal }: ApiRequest, limit: AbortSignal): Promise<Response> {
    const { apiKey, fetch = globalThis.fetch } = this.#options;
    const upload = body instanceof FormData && isNode ? encodeForm(body) : undefined;
    return fetch(`${this.#baseUrl}${path}${toSearch(query)}`, {
      method,
      redirect: redirectMode(method, body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      headers: {
        Accept: 'application/json',
        ...(apiKey && { Authorization: `Bearer ${apiKey}` }),
        ...(typeof body === 'string' && { 'Content-Type': 'application/json' }),
        ...upload?.headers,
        ...headers,
      },
      ...(body !== undefined && { body: upload?.body ?? body }),
      ...(upload && { duplex: 'half' }),
    });
  }

  async #refusal(response: Response, signal: AbortSignal | undefined): Promise<LipsyncApiError> {
    const text = await this.#readText(response, signal);
    const isProblem = response.headers.get('Content-Type')?.startsWith('application/problem+json') === true;
    const problem = isProblem ? parseBody(text, response) : {};
    return new LipsyncApiError(response.status, Object(problem), retryAfterMs(response));
  }

  async #readText({ body }: Response, signal: AbortSignal | undefined): Promise<string> {
    if (!body) return '';
    const decoder = new TextDecoder();
    const parts: string[] = [];
    let bytes = 0;
    for await (const chunk of readChunks(body, { idleMs: this.idleTimeoutMs, signal })) {
      bytes += chunk.byteLength;
      if (bytes > maxJsonBytes) throw invalidResponse(`The response is larger than ${maxJsonBytes} bytes.`);
      parts.push(decoder.decode(chunk, { stream: true }));
    }
    return `${parts.join('')}${decoder.decode()}`;
  }
}

const isNode = typeof process === 'object' && typeof process.versions?.node === 'string';

/**
 * The form as a stream of bytes. When a service answers before it has read a file of a form, the fetch of Node closes
 * the stream of the form while a part of the file is read, which ends the process ("ReadableStream is already closed").
 * The stream in between is closed instead, and the inner one is never canceled.
 */
function encodeForm(form: FormData): { readonly headers: Record<string, string>; readonly body: ReadableStream } {
  const { headers, body } = new Response(form);
  if (body === null) throw new TypeError('A form has a body.');
  return { headers: { 'Content-Type': headers.get('Content-Type') ?? '' }, body: ReadableStream.from(chunksOf(body)) };
}

async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

/**
 * A followed redirect of a POST may arrive as a GET. Only with `error` does the fetch of Node stream a file instead of
 * holding all of it in memory.
 */
function redirectMode(method: string, body: ApiRequest['body']): NonNullable<RequestInit['redirect']> {
  if (body instanceof FormData) return 'error';
  return method === 'GET' ? 'follow' : 'manual';
}

function parseBody(text: string, { status, url }: Response): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    // A query may name a user, and that of a redirect may be a signature.
    const address = url.replace(/[?#].*/s, '');
    throw invalidResponse(
      `The response with status ${status} of ${address} is no JSON. Is this the address of the service?`,
      cause,
    );
  }
}

export function invalidResponse(message: string, cause?: unknown): LipsyncClientError {
  return new LipsyncClientError(message, { code: 'response_invalid', retryable: false, cause });
}

function toSearch(query: object | undefined): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) search.append(name, String(value));
  return search.size === 0 ? '' : `?${search}`;
}

/** Seconds or a date. */
function retryAfterMs({ headers }: Response): number | null {
  const text = headers.get('Retry-After');
  if (text === null) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
