import { LipsyncError } from '../errors/index.ts';

/** Runs work on the same key one at a time within this process, in order of arrival. */
export class KeyedMutex {
  readonly #maxWaitMs: number;
  readonly #lastByKey = new Map<string, Promise<void>>();

  constructor({ maxWaitMs }: { readonly maxWaitMs: number }) {
    this.#maxWaitMs = maxWaitMs;
  }

  /**
   * Runs `work` after all earlier work on any of `keys` has settled. Throws `resource_exhausted` without running it if
   * that took more than `maxWaitMs`.
   */
  async run<Result>(keys: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const earlier = keys.flatMap((key) => this.#lastByKey.get(key) ?? []);
    for (const key of keys) this.#lastByKey.set(key, done);
    const startedAtMs = performance.now();
    try {
      await Promise.all(earlier);
      if (performance.now() - startedAtMs > this.#maxWaitMs)
        throw new LipsyncError(
          'resource_exhausted',
          'Earlier operations on the same data have not finished in time. Try again shortly.',
        );
      return await work();
    } finally {
      finish();
      for (const key of keys) if (this.#lastByKey.get(key) === done) this.#lastByKey.delete(key);
    }
  }
}
