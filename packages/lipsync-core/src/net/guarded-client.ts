import { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import { LipsyncError } from '../errors/index.ts';
import { RequestError, responseTooLarge, toRequestError } from './request-errors.ts';
import { resolveHostAddresses, resolveWithSystem, type HostAddress, type ResolveHost } from './resolve-host.ts';
import { allowTrustedOrigin, noPrivateHosts, type AllowedPrivateHosts } from './allowed-hosts.ts';
import { checkUrl } from './url-policy.ts';

export interface GuardedClientOptions {
  /** Private hosts that may be reached; none by default. */
  readonly allowedPrivateHosts?: AllowedPrivateHosts | undefined;
  /** An origin (scheme, host and port) that may be reached although it is private, e.g. `http://127.0.0.1:4010`. */
  readonly trustedOrigin?: string | undefined;
  /** Resolves host names; the operating system by default. */
  readonly resolveHost?: ResolveHost | undefined;
}

export interface RequestLimits {
  readonly maxResponseBytes: number;
  /** Covers the whole request: resolution, connection, redirects, and both bodies. */
  readonly timeoutMs: number;
  /** Longest silence of the server: before its answer, and between two chunks of it. */
  readonly idleTimeoutMs: number;
  /** Longest time until the headers of the response, redirects included; no limit of its own by default. */
  readonly responseTimeoutMs?: number;
  /** Least bytes per second of the body, averaged over `windowMs` of waiting for the server; none by default. */
  readonly minRate?: MinRate;
  readonly signal?: AbortSignal | undefined;
}

export interface MinRate {
  readonly bytesPerSecond: number;
  readonly windowMs: number;
}

export interface GuardedRequest extends RequestLimits {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream is sent once and needs a `content-length` header unless the server accepts chunked requests. */
  readonly body?: string | Uint8Array | Readable;
}

export interface GuardedResponse {
  readonly status: number;
  readonly contentLength: number | null;
  readonly contentType: string | null;
  readonly contentDisposition: string | null;
  /** The URL that answered, after redirects. */
  readonly finalUrl: string;
  /** Holds the connection until it ends or is destroyed. Fails with a `LipsyncError`. */
  readonly body: Readable;
}

interface Signals {
  readonly caller: AbortSignal | undefined;
  readonly timeLimit: AbortSignal;
  readonly responseLimit: AbortSignal;
  readonly any: AbortSignal;
}

interface Exchange {
  readonly agent: Agent;
  readonly response: Dispatcher.ResponseData;
}

const maxRedirects = 5;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * HTTP client for URLs from untrusted sources. Requests only http and https URLs with public (or allowed) addresses,
 * resolves each host once, and connects to the addresses that it has checked. Only GET follows redirects, and every hop
 * is checked again; for other methods, a redirect is the response, so that a body never reaches a second server.
 *
 * All methods throw `url_forbidden`, `payload_too_large`, a `RequestError`, or the reason of the aborted signal.
 */
export class GuardedClient {
  readonly #allowedPrivateHosts: AllowedPrivateHosts;
  readonly #trustedOrigin: string | undefined;
  readonly #resolveHost: ResolveHost;

  constructor(options: GuardedClientOptions = {}) {
    this.#allowedPrivateHosts = options.allowedPrivateHosts ?? noPrivateHosts;
    this.#trustedOrigin = options.trustedOrigin;
    this.#resolveHost = options.resolveHost ?? resolveWithSystem;
  }

  /** Sends one request and returns the response with any status. */
  async request(url: string, request: GuardedRequest): Promise<GuardedResponse> {
    return this.#run(request, async (signals) => {
      const { exchange, finalUrl } = await this.#send(url, request, signals);
      return openResponse(exchange, finalUrl, request, signals);
    });
  }

  /** Sends one request and returns what its response starts with; the body of the response is not read. */
  async notify(
    url: string,
    request: Omit<GuardedRequest, 'maxResponseBytes'>,
  ): Promise<{ readonly status: number; readonly retryAfter: string | null }> {
    return this.#run(request, async (signals) => {
      const { exchange } = await this.#send(url, { ...request, maxResponseBytes: 0 }, signals);
      const { statusCode: status, headers } = exchange.response;
      await close(exchange);
      return { status, retryAfter: firstValue(headers['retry-after']) };
    });
  }

  /** Downloads a file: the response must have status 200. A body shorter than announced fails. */
  async download(url: string, limits: RequestLimits): Promise<GuardedResponse> {
    const request: GuardedRequest = { ...limits, method: 'GET' };
    return this.#run(limits, async (signals) => {
      const { exchange, finalUrl } = await this.#send(url, request, signals);
      const { statusCode } = exchange.response;
      if (statusCode !== 200) {
        await close(exchange);
        throw statusError(statusCode);
      }
      return openResponse(exchange, finalUrl, limits, signals);
    });
  }

  async #run<Response>(
    { timeoutMs, responseTimeoutMs, signal }: Pick<RequestLimits, 'timeoutMs' | 'responseTimeoutMs' | 'signal'>,
    work: (signals: Signals) => Promise<Response>,
  ): Promise<Response> {
    const timeLimit = AbortSignal.timeout(timeoutMs);
    const response = new AbortController();
    const timer = responseTimeoutMs === undefined ? undefined : setTimeout(() => response.abort(), responseTimeoutMs);
    const any = AbortSignal.any([...(signal ? [signal] : []), timeLimit, response.signal]);
    const signals = { caller: signal, timeLimit, responseLimit: response.signal, any };
    try {
      signals.any.throwIfAborted();
      return await work(signals);
    } catch (error) {
      throw toRequestError(error, signals);
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(
    text: string,
    request: GuardedRequest,
    signals: Signals,
  ): Promise<{ readonly exchange: Exchange; readonly finalUrl: URL }> {
    let target = text;
    for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
      const { url, ...exchange } = await this.#exchange(target, request, signals.any).catch((error: unknown) => {
        throw redirects === 0 ? error : toRedirectError(error, target);
      });
      const location = request.method === 'GET' ? redirectTarget(exchange.response, url) : undefined;
      if (location === undefined) return { exchange, finalUrl: url };
      await close(exchange);
      target = location;
    }
    throw new RequestError('redirects', `it redirects more than ${maxRedirects} times`, { retryable: false });
  }

  async #exchange(
    text: string,
    request: GuardedRequest,
    signal: AbortSignal,
  ): Promise<Exchange & { readonly url: URL }> {
    const allowed = this.#allowedFor(text);
    const url = checkUrl(text, allowed);
    const resolving = resolveHostAddresses(url, allowed, this.#resolveHost);
    const agent = await createPinnedAgent(await untilAborted(resolving, signal), request.idleTimeoutMs);
    try {
      const response = await agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        // Uncompressed, because a few kilobytes could decompress to more than the size limit.
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'lipsync', ...request.headers },
        body: request.body ?? null,
        signal,
      });
      return { agent, response, url };
    } catch (error) {
      await agent.destroy();
      throw error;
    }
  }

  #allowedFor(url: string): AllowedPrivateHosts {
    return allowTrustedOrigin(this.#allowedPrivateHosts, url, this.#trustedOrigin);
  }
}

/** Creates an agent that connects to the given addresses for every host name. TLS still verifies the name. */
async function createPinnedAgent(addresses: readonly HostAddress[], idleTimeoutMs: number): Promise<Agent> {
  // Loaded on demand, because most processes of the service request no URL.
  const { Agent } = await import('undici');
  return new Agent({
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    connect: {
      timeout: idleTimeoutMs,
      lookup: (_hostname, { all }, callback) => {
        const [first] = addresses;
        if (all || !first) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      },
    },
  });
}

/** Stops waiting when the signal aborts, also for work that cannot be stopped, like the system's resolver. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function redirectTarget({ statusCode, headers }: Dispatcher.ResponseData, base: URL): string | undefined {
  const location = firstValue(headers.location);
  if (!redirectStatuses.has(statusCode) || location === null) return undefined;
  const target = URL.parse(location, base.href);
  if (!target) throw new RequestError('redirects', 'it redirects to an invalid URL', { retryable: false });
  return target.href;
}

/** The message would otherwise seem to be about the URL of the caller. */
function toRedirectError(error: unknown, target: string): unknown {
  if (!LipsyncError.isInstance(error) || error.code !== 'url_forbidden') return error;
  const host = URL.parse(target)?.host || 'another URL';
  return new LipsyncError(error.code, `It redirects to ${host}. ${error.message}`, { cause: error });
}

async function openResponse(
  exchange: Exchange,
  finalUrl: URL,
  { maxResponseBytes: maxBytes, minRate }: RequestLimits,
  signals: Signals,
): Promise<GuardedResponse> {
  const { statusCode, headers } = exchange.response;
  const contentLength = parseLength(firstValue(headers['content-length']));
  const refusal = checkHeaders(contentLength, firstValue(headers['content-encoding']), maxBytes);
  if (refusal) {
    await close(exchange);
    throw refusal;
  }
  const body = Readable.from(limitBody(exchange.response.body, { contentLength, maxBytes, minRate, signals }), {
    objectMode: false,
  });
  // On the stream, because a generator that was never started does not run its `finally`.
  body.once('close', () => void close(exchange));
  return {
    status: statusCode,
    contentLength,
    contentType: firstValue(headers['content-type']),
    contentDisposition: firstValue(headers['content-disposition']),
    finalUrl: finalUrl.href,
    body,
  };
}

function checkHeaders(
  contentLength: number | null,
  contentEncoding: string | null,
  maxBytes: number,
): LipsyncError | undefined {
  if (contentLength !== null && contentLength > maxBytes) return responseTooLarge(maxBytes);
  if ((contentEncoding ?? 'identity') === 'identity') return undefined;
  return new RequestError('encoding', 'the server sent a compressed response, which was not requested', {
    retryable: false,
  });
}

function statusError(status: number): RequestError {
  const retryable = status >= 500 || status === 429 || status === 408;
  const refusal = [401, 403].includes(status) ? '; the URL needs a login, or its signature is invalid or expired' : '';
  return new RequestError('status', `the server responded with status ${status}${refusal}`, { retryable, status });
}

interface BodyLimits {
  readonly contentLength: number | null;
  readonly maxBytes: number;
  readonly minRate: MinRate | undefined;
  readonly signals: Signals;
}

async function* limitBody(
  body: Readable,
  { contentLength, maxBytes, minRate, signals }: BodyLimits,
): AsyncGenerator<Buffer> {
  const checkRate = minRate && createRateCheck(minRate);
  let receivedBytes = 0;
  let resumedAtMs = performance.now();
  try {
    // `as`: undici types the body as a stream of any values; without an encoding it yields buffers.
    for await (const chunk of body as AsyncIterable<Buffer>) {
      receivedBytes += chunk.byteLength;
      if (receivedBytes > maxBytes) throw responseTooLarge(maxBytes);
      checkRate?.(chunk.byteLength, performance.now() - resumedAtMs);
      yield chunk;
      resumedAtMs = performance.now();
    }
  } catch (error) {
    throw toRequestError(error, signals);
  }
  if (contentLength !== null && receivedBytes !== contentLength) {
    throw new RequestError('cut_off', `only ${receivedBytes} of ${contentLength} bytes arrived`, { retryable: true });
  }
}

/** Counts only the time spent waiting for the server: a caller that reads slowly does not make the server slow. */
function createRateCheck({ bytesPerSecond, windowMs }: MinRate): (bytes: number, waitedMs: number) => void {
  let windowBytes = 0;
  let windowWaitedMs = 0;
  return (bytes, waitedMs) => {
    windowBytes += bytes;
    windowWaitedMs += waitedMs;
    if (windowWaitedMs < windowMs) return;
    if (windowBytes < (bytesPerSecond * windowWaitedMs) / 1_000)
      throw new RequestError('too_slow', `the server sends less than ${bytesPerSecond} bytes per second`, {
        retryable: true,
      });
    windowBytes = 0;
    windowWaitedMs = 0;
  };
}

async function close({ agent, response }: Exchange): Promise<void> {
  // Destroying an unread body emits an unhandled error.
  response.body.on('error', () => undefined);
  response.body.destroy();
  await agent.destroy();
}

function parseLength(text: string | null): number | null {
  if (text === null || !/^\d{1,15}$/.test(text)) return null;
  return Number(text);
}

function firstValue(header: string | string[] | undefined): string | null {
  return (Array.isArray(header) ? header[0] : header) ?? null;
}
