import { Readable } from 'node:stream';
import { Agent, type Dispatcher } from 'undici';
import type { LipsyncError } from '../errors/index.ts';
import { noPrivateHosts, type AllowedPrivateHosts } from './allowed-hosts.ts';
import { checkUrl } from './check-url.ts';
import { fetchFailed, toFetchError, tooLarge } from './fetch-errors.ts';
import { resolveChecked, resolveWithSystem, type HostAddress, type ResolveHost } from './resolve-host.ts';
import { allowOrigin } from './trusted-origin.ts';

export interface GuardedFetchOptions {
  readonly maxBytes: number;
  /** For everything: resolving, connecting, redirects and the whole body. */
  readonly timeoutMs: number;
  /** How long the server may be silent, before its answer and between parts of it. */
  readonly idleTimeoutMs: number;
  readonly signal?: AbortSignal;
  readonly allowedPrivateHosts?: AllowedPrivateHosts;
  /** An origin (scheme, host and port) that may be fetched although it is private, e.g. `http://127.0.0.1:4010`. */
  readonly trustedOrigin?: string | undefined;
  /** How host names become addresses; the system's resolver unless given. */
  readonly resolveHost?: ResolveHost;
}

export interface FetchedFile {
  /** The body. Read it to its end or destroy it: the connection is held until then. Fails with a `LipsyncError`. */
  readonly stream: Readable;
  readonly contentLength: number | null;
  readonly contentType: string | null;
  /** Where it came from after redirects. */
  readonly finalUrl: string;
}

interface Signals {
  readonly caller: AbortSignal | undefined;
  readonly timeLimit: AbortSignal;
  readonly both: AbortSignal;
}

interface Hop {
  readonly agent: Agent;
  readonly response: Dispatcher.ResponseData;
}

const maxRedirects = 5;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Fetches a file from a URL that a stranger gave us. Only http(s), only public addresses (or allowed ones), each host
 * resolved once and connected to at the checked address, each redirect checked afresh.
 * Throws `url_forbidden` (refused), `payload_too_large`, `request_invalid` (cannot be fetched; `details.reason`,
 * `details.retryable`) or what `signal` was aborted with. The stream fails with the same codes; a body shorter than
 * announced is a failure, not an end.
 */
export async function fetchGuarded(text: string, options: GuardedFetchOptions): Promise<FetchedFile> {
  const signals = makeSignals(options);
  try {
    signals.both.throwIfAborted();
    return await followRedirects(text, options, signals);
  } catch (error) {
    throw toFetchError(error, signals);
  }
}

function makeSignals({ signal, timeoutMs }: GuardedFetchOptions): Signals {
  const timeLimit = AbortSignal.timeout(timeoutMs);
  return { caller: signal, timeLimit, both: signal ? AbortSignal.any([signal, timeLimit]) : timeLimit };
}

async function followRedirects(text: string, options: GuardedFetchOptions, signals: Signals): Promise<FetchedFile> {
  const hostsFor = (target: string): AllowedPrivateHosts =>
    allowOrigin(options.allowedPrivateHosts ?? noPrivateHosts, target, options.trustedOrigin);
  let url = checkUrl(text, hostsFor(text));
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const hop = await requestPinned(url, hostsFor(url.href), options, signals.both);
    const location = redirectTarget(hop.response, url);
    if (location === undefined) return toFile(hop, url, options, signals);
    await close(hop);
    url = checkUrl(location, hostsFor(location));
  }
  throw fetchFailed('redirects', `it redirects more than ${maxRedirects} times.`, { retryable: false });
}

async function requestPinned(
  url: URL,
  allowed: AllowedPrivateHosts,
  options: GuardedFetchOptions,
  signal: AbortSignal,
): Promise<Hop> {
  const resolving = resolveChecked(url.hostname, allowed, options.resolveHost ?? resolveWithSystem);
  const agent = pinnedAgent(await untilAborted(resolving, signal), options.idleTimeoutMs);
  try {
    // Compressed answers are not asked for: a few kilobytes could unpack to more than the cap.
    const response = await agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'GET',
      headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'lipsync' },
      signal,
    });
    return { agent, response };
  } catch (error) {
    await agent.destroy();
    throw error;
  }
}

/** An agent that connects to the given addresses whatever name it is asked for. TLS still checks the name. */
function pinnedAgent(addresses: readonly HostAddress[], idleTimeoutMs: number): Agent {
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

/** The system's resolver cannot be stopped; the wait for it can. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
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
  const location = singleHeader(headers.location);
  if (!redirectStatuses.has(statusCode) || location === null) return undefined;
  const target = URL.parse(location, base.href);
  if (!target) throw fetchFailed('redirects', 'it redirects to something that is not a URL.', { retryable: false });
  return target.href;
}

async function toFile(hop: Hop, url: URL, options: GuardedFetchOptions, signals: Signals): Promise<FetchedFile> {
  const { headers } = hop.response;
  const contentLength = parseLength(singleHeader(headers['content-length']));
  const refusal = refuse(hop.response, contentLength, options.maxBytes);
  if (refusal) {
    await close(hop);
    throw refusal;
  }
  return {
    stream: guardBody(hop, contentLength, options.maxBytes, signals),
    contentLength,
    contentType: singleHeader(headers['content-type']),
    finalUrl: url.href,
  };
}

function refuse(
  { statusCode, headers }: Dispatcher.ResponseData,
  contentLength: number | null,
  maxBytes: number,
): LipsyncError | undefined {
  if (statusCode !== 200) {
    const retryable = statusCode >= 500 || statusCode === 429 || statusCode === 408;
    return fetchFailed('status', `its server answered with status ${statusCode}.`, { retryable, status: statusCode });
  }
  if (contentLength !== null && contentLength > maxBytes) return tooLarge(maxBytes);
  if ((singleHeader(headers['content-encoding']) ?? 'identity') !== 'identity') {
    return fetchFailed('encoding', 'its server sends it compressed although asked not to.', { retryable: false });
  }
  return undefined;
}

function guardBody(hop: Hop, contentLength: number | null, maxBytes: number, signals: Signals): Readable {
  const stream = Readable.from(limitBytes(hop.response.body, contentLength, maxBytes, signals), { objectMode: false });
  // On the stream, not in the generator: a generator that never began runs no `finally`.
  stream.once('close', () => void close(hop));
  return stream;
}

async function* limitBytes(
  body: Readable,
  contentLength: number | null,
  maxBytes: number,
  signals: Signals,
): AsyncGenerator<Buffer> {
  let received = 0;
  try {
    // `as`: undici types its body as a Readable of anything; without a decoder set it yields buffers.
    for await (const chunk of body as AsyncIterable<Buffer>) {
      received += chunk.byteLength;
      if (received > maxBytes) throw tooLarge(maxBytes);
      yield chunk;
    }
  } catch (error) {
    throw toFetchError(error, signals);
  }
  if (contentLength !== null && received !== contentLength) {
    throw fetchFailed('cut_off', `${received} of ${contentLength} bytes arrived.`, { retryable: true });
  }
}

async function close({ agent, response }: Hop): Promise<void> {
  // Destroying a body that nobody reads raises an error on it; there is nobody left to care.
  response.body.on('error', () => undefined);
  response.body.destroy();
  await agent.destroy();
}

function parseLength(text: string | null): number | null {
  if (text === null || !/^\d{1,15}$/.test(text)) return null;
  return Number(text);
}

function singleHeader(value: string | string[] | undefined): string | null {
  return (Array.isArray(value) ? value[0] : value) ?? null;
}
