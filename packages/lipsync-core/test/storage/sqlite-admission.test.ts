import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { admissionSuite } from '../../src/testing/admission-suite.ts';

admissionSuite('SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'state-admission-'));
  const path = join(folder, 'state.sqlite');
  const store = new SqliteStateStore({ path });
  return {
    store,
    program: new URL('./admission-child.ts', import.meta.url),
    programArguments: [path],
    async dispose() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});
