import { LipsyncConnectionError } from './errors.ts';

/** Waits; throws the reason of the signal. */
export async function wait(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const stop = (): void => resolve();
  signal?.addEventListener('abort', stop);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    // A subscription waits many times with one signal.
    signal?.removeEventListener('abort', stop);
  }
  signal?.throwIfAborted();
}

/** Yields the chunks of a body. Throws `LipsyncConnectionError` when none arrives for `idleMs` or the connection breaks. */
export async function* readChunks(
  body: ReadableStream<Uint8Array>,
  { idleMs, signal }: { readonly idleMs: number; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await withLimit(reader.read(), idleMs).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw error instanceof LipsyncConnectionError ? error : connectionLost(error);
      });
      if (done) return;
      yield value;
    }
  } finally {
    // Closes the connection of a reader that stopped early. It may be broken already.
    void reader.cancel().catch(() => undefined);
  }
}

function connectionLost(cause: unknown): LipsyncConnectionError {
  return new LipsyncConnectionError('The connection broke while a response arrived.', cause);
}

async function withLimit<Value>(work: Promise<Value>, limitMs: number): Promise<Value> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new LipsyncConnectionError(`Nothing arrived for ${limitMs} ms.`)), limitMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
