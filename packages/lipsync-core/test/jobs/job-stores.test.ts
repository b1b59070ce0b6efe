import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateJobStore } from '../../src/jobs/state-job-store.ts';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import { jobStoreSuite, type JobStoreUnderTest } from '../../src/testing/job-store-suite.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';

function openJobStore(state: StateStore, dispose: () => Promise<void>): JobStoreUnderTest {
  const reported: string[] = [];
  return {
    store: new StateJobStore({ state, onUnreadable: (id) => reported.push(id) }),
    reported,
    overwrite: (id, stored) =>
      state.transact([`jobs/${id}`], (documents) => {
        const document = documents.get(`jobs/${id}`);
        if (typeof document !== 'object') throw new Error('The record does not exist.');
        return { result: undefined, writes: new Map([[`jobs/${id}`, { ...document, ...stored }]]) };
      }),
    dispose,
  };
}

jobStoreSuite('memory', async () => openJobStore(createMemoryState().open(), async () => undefined));

jobStoreSuite('SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-job-store-'));
  const state = new SqliteStateStore({ path: join(folder, 'state.sqlite') });
  return openJobStore(state, async () => {
    await state.close();
    await rm(folder, { recursive: true, force: true });
  });
});
