import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { stateProcessesSuite, stateRacesSuite } from '../../src/testing/state-races-suite.ts';

stateRacesSuite('SQLite', async () => {
  const { folder, path } = await newPath();
  const [store, other] = [new SqliteStateStore({ path }), new SqliteStateStore({ path })];
  return {
    store,
    other,
    async dispose() {
      await Promise.all([store.close(), other.close()]);
      await rm(folder, { recursive: true });
    },
  };
});

stateProcessesSuite('SQLite', async () => {
  const { folder, path } = await newPath();
  const store = new SqliteStateStore({ path });
  return {
    store,
    program: new URL('./sqlite-child.ts', import.meta.url),
    programArguments: [path],
    async dispose() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

async function newPath(): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'state-races-'));
  return { folder, path: join(folder, 'state.sqlite') };
}
