import { LipsyncError } from '@lipsync/core';

/** Runs work on the same keys one after the other, in the order of the calls. */
export type KeyedMutex = <Result>(keys: readonly string[], work: () => Promise<Result>) => Promise<Result>;

/**
 * A mutex within this process. Throws `resource_exhausted` instead of running work that waited longer than `maxWaitMs`:
 * the work before it hangs.
 */
export function createKeyedMutex(maxWaitMs: number): KeyedMutex {
  const lastOf = new Map<string, Promise<void>>();
  return async (keys, work) => {
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const before = keys.flatMap((key) => lastOf.get(key) ?? []);
    for (const key of keys) lastOf.set(key, done);
    const calledAtMs = performance.now();
    try {
      await Promise.all(before);
      if (performance.now() - calledAtMs > maxWaitMs)
        throw new LipsyncError('resource_exhausted', 'The state store is too slow. Try again shortly.');
      return await work();
    } finally {
      finish();
      for (const key of keys) if (lastOf.get(key) === done) lastOf.delete(key);
    }
  };
}
