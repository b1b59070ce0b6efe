import { abortError, LipsyncError } from '../errors/index.ts';

/** Runs work on the same key one at a time within this process, in order of arrival. */
export class KeyedMutex {
  readonly #maxWaitMs: number;
  readonly #lastByKey = new Map<string, Promise<void>>();

  constructor({ maxWaitMs }: { readonly maxWaitMs: number }) {
    this.#maxWaitMs = maxWaitMs;
  }

  /**
   * Runs `work` after all earlier work on any of `keys` has settled. Throws `resource_exhausted` after `maxWaitMs`,
   * or the reason of `signal`, without running it; later work still waits for the earlier work.
   */
  async run<Result>(keys: readonly string[], work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const earlier = Promise.all(keys.flatMap((key) => this.#lastByKey.get(key) ?? []));
    for (const key of keys) this.#lastByKey.set(key, done);
    try {
      await this.#waitFor(earlier, signal);
      return await work();
    } finally {
      void earlier.then(() => {
        finish();
        for (const key of keys) if (this.#lastByKey.get(key) === done) this.#lastByKey.delete(key);
      });
    }
  }

  async #waitFor(earlier: Promise<unknown>, signal?: AbortSignal): Promise<void> {
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(waitedTooLong()), this.#maxWaitMs);
    const abort = (): void => {
      if (signal) reject(abortError(signal));
    };
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      await Promise.race([earlier, stopped]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }
}

function waitedTooLong(): LipsyncError {
  return new LipsyncError(
    'resource_exhausted',
    'Earlier operations on the same data have not finished in time. Try again shortly.',
  );
}
