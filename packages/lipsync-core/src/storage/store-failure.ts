import { LipsyncError, StorageError } from '../errors/index.ts';

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

/**
 * Files cannot be stored: the folder of work files or of outputs is full or cannot be written. Like the failure of a
 * store, it is unrelated to the job and the provider: the job is parked and runs again.
 */
export class StorageUnavailable extends StoreFailure {
  readonly error: LipsyncError;

  constructor(error: LipsyncError) {
    super(error);
    this.name = 'StorageUnavailable';
    this.error = error;
  }
}

/** Throws a `StorageError` as a `StorageUnavailable`, and every other error unchanged; for `.catch()`. */
export function failStorage(error: unknown): never {
  throw error instanceof StorageError ? new StorageUnavailable(error) : error;
}

/** Throws `error` as the cause of a `StoreFailure`; for `.catch()`. */
export function failStore(error: unknown): never {
  throw new StoreFailure(error);
}
