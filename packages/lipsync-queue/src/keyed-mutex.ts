import { LipsyncError } from '@lipsync/core';

/** Lets work on the same keys run one after the other, in the order in which it was asked for. */
export type KeyedMutex = <Result>(keys: readonly string[], work: () => Promise<Result>) => Promise<Result>;

/**
 * KeyedMutex within this process. Throws `resource_exhausted` instead of doing work whose turn came after more than
 * `maxWaitMs`: then the works before it hang.
 */
export function createKeyedMutex(maxWaitMs: number): KeyedMutex {
  const lastOf = new Map<string, Promise<void>>();
  return async (keys, work) => {
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const before = keys.flatMap((key) => lastOf.get(key) ?? []);
    for (const key of keys) lastOf.set(key, done);
    const askedAtMs = performance.now();
    try {
      await Promise.all(before);
      if (performance.now() - askedAtMs > maxWaitMs)
        throw new LipsyncError('resource_exhausted', 'The state store is too slow at the moment. Try again shortly.');
      return await work();
    } finally {
      finish();
      for (const key of keys) if (lastOf.get(key) === done) lastOf.delete(key);
    }
  };
}
