import { LipsyncError } from '../errors/index.ts';

/**
 * A store that keeps job records, slots or the ledger failed. It is unrelated to the job and the provider, so that it
 * is never recorded as the failure of either. `cause` is the original error.
 */
export class StoreFailure extends Error {
  constructor(cause: unknown) {
    super('A store that the job depends on failed.', { cause });
    this.name = 'StoreFailure';
  }

  /** Whether the store may work again later. A store that rejects a change permanently is not transient. */
  get isTransient(): boolean {
    return LipsyncError.isInstance(this.cause) && this.cause.code === 'resource_exhausted';
  }
}

/** Throws `error` as the cause of a `StoreFailure`; for `.catch()`. */
export function failStore(error: unknown): never {
  throw new StoreFailure(error);
}
