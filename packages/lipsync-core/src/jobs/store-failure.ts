import type { JobStore } from './job-store.ts';

/** The job store did not do what it was asked. Says nothing about the job: nobody may record it as the job's failure. */
export class StoreFailure extends Error {
  constructor(cause: unknown) {
    super('The job store failed.', { cause });
    this.name = 'StoreFailure';
  }
}

/** The calls of a running job to `store`; whatever they throw comes as a `StoreFailure` with the original as cause. */
export function markStoreFailures(store: JobStore): Pick<JobStore, 'get' | 'append'> {
  const fail = (error: unknown): never => {
    throw new StoreFailure(error);
  };
  return {
    get: (id) => store.get(id).catch(fail),
    append: (id, event) => store.append(id, event).catch(fail),
  };
}
