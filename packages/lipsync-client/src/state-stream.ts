import { LipsyncApiError, LipsyncClientError } from './errors.ts';
import { readEvents } from './event-reader.ts';
import { invalidResponse, type Transport } from './transport.ts';
import { wait } from './waits.ts';

/** A subscription gives up when the service cannot be reached for this time. */
const maxOutageMs = 5 * 60_000;
/** A response without an event that ends earlier is none of an event stream that works. */
const minStreamMs = 5_000;

export interface StateStreamOptions<State> {
  readonly transport: Transport;
  /** Path of the event stream. */
  readonly path: string;
  /** Reads the state without the stream, which the service may have none to spare for. */
  readonly read: () => Promise<State>;
  readonly hasEnded: (state: State) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Yields the state that an event stream sends, now and after every change; the last one is the end. A broken connection
 * resumes after the last event. While the service has no stream to spare, or a proxy ends it at once, the state is polled.
 */
export async function* followState<State>(options: StateStreamOptions<State>): AsyncGenerator<State, void> {
  const { transport, read, hasEnded, signal } = options;
  let lastEventId = '';
  let shown = '';
  let failures = 0;
  let failure: unknown;
  let isPolling = false;
  let reachedAtMs = Date.now();
  for (;;) {
    try {
      // Without a stream the state is still up to date.
      const polled = isPolling ? await read() : undefined;
      if (polled && JSON.stringify(polled) !== shown) {
        shown = JSON.stringify(polled);
        yield polled;
        if (hasEnded(polled)) return;
      }
      if (polled) reachedAtMs = Date.now();
      const openedAtMs = Date.now();
      let hasEvents = false;
      for await (const { id, data } of openEvents(options, lastEventId)) {
        reachedAtMs = Date.now();
        hasEvents = true;
        if (id !== '') lastEventId = id;
        shown = data;
        // `as`: the type is the promise of the service.
        const state = parseState(data) as State;
        yield state;
        if (hasEnded(state)) return;
      }
      reachedAtMs = Date.now();
      isPolling = !hasEvents && reachedAtMs - openedAtMs < minStreamMs;
      if (!isPolling) failures = 0;
      failure = undefined;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof LipsyncClientError) || !error.retryable) throw error;
      if (Date.now() - reachedAtMs > maxOutageMs) throw error;
      failure = error;
      isPolling = error instanceof LipsyncApiError;
    }
    failures += 1;
    await wait(transport.delayMs(failures, failure), signal);
  }
}

async function* openEvents<State>({ transport, path, signal }: StateStreamOptions<State>, lastEventId: string) {
  const headers = { Accept: 'text/event-stream', ...(lastEventId !== '' && { 'Last-Event-ID': lastEventId }) };
  const response = await transport.open({ path, headers, signal, maxRetries: 0 });
  if (response.body) yield* readEvents(response.body, { idleMs: transport.idleTimeoutMs, signal });
}

function parseState(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch (cause) {
    throw invalidResponse('An event is no JSON.', cause);
  }
}
