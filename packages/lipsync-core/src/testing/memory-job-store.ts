import type { JobStore } from '../jobs/job-store.ts';
import { StateJobStore } from '../jobs/state-job-store.ts';
import { createMemoryState } from './memory-state-store.ts';

/**
 * Returns an empty store whose records live as long as the test. A plain object: tests replace methods by spreading it.
 */
export function createMemoryJobStore(): JobStore {
  const store = new StateJobStore({ state: createMemoryState().open() });
  return {
    create: (record) => store.create(record),
    get: (id) => store.get(id),
    append: (id, event) => store.append(id, event),
    list: (query) => store.list(query),
    unfinished: () => store.unfinished(),
    listOutcomes: (batchId) => store.listOutcomes(batchId),
    readOutbox: (limit, after) => store.readOutbox(limit, after),
    ackOutbox: (ids) => store.ackOutbox(ids),
  };
}
