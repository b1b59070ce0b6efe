import { LipsyncError } from '../errors/index.ts';
import type { JobStore } from '../jobs/job-store.ts';

/** What keeps the account of jobs did not do what it was asked. Says nothing about the job: nobody may record it as the job's failure. */
export class StoreFailure extends Error {
  constructor(cause: unknown) {
    super('The account of the job could not be kept.', { cause });
    this.name = 'StoreFailure';
  }
}

/** Marks what was thrown as a failure of the account: neither the job nor a provider is to blame. */
export function failStore(error: unknown): never {
  throw new StoreFailure(error);
}

/**
 * Why a run stops when a later run of the same job is under way: it must neither go on spending the machine nor touch
 * what the other goes on with.
 */
export const superseded = new StoreFailure(new LipsyncError('canceled', 'Another worker took the job over.'));

/** Whether it is a store's failure that passes: the same will be possible again. What a store refuses for good is none. */
export function isOutOfReach(error: unknown): boolean {
  return (
    error instanceof StoreFailure && LipsyncError.isInstance(error.cause) && error.cause.code === 'resource_exhausted'
  );
}

/** The calls of a running job to `store`; whatever they throw comes as a `StoreFailure` with the original as cause. */
export function markStoreFailures(store: JobStore): Pick<JobStore, 'get' | 'append'> {
  return {
    get: (id) => store.get(id).catch(failStore),
    append: (id, event) => store.append(id, event).catch(failStore),
  };
}
