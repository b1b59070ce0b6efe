import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStateFile } from '../../src/storage/sqlite-file.ts';
import { createSqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { stateStoreSuite } from '../../src/testing/state-store-suite.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'state-test-'));
  path = join(folder, 'made', 'with', 'it', 'state.sqlite');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

stateStoreSuite('SQLite', async () => {
  const [store, other] = [createSqliteStateStore({ path }), createSqliteStateStore({ path })];
  return { store, other, dispose: async () => void (await Promise.all([store.close(), other.close()])) };
});

describe('SQLite', () => {
  it('makes the file with the first call, not before', async () => {
    const store = createSqliteStateStore({ path });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await store.list('', { limit: 1 })).toEqual([]);
    expect((await stat(path)).isFile()).toBe(true);
    await store.close();
  });

  it('keeps documents over a restart', async () => {
    const before = createSqliteStateStore({ path });
    await before.transact(['a'], () => ({ result: undefined, writes: new Map([['a', { kept: true }]]) }));
    await before.close();
    const after = createSqliteStateStore({ path });
    expect(await after.list('', { limit: 1 })).toEqual([{ key: 'a', document: { kept: true } }]);
    await after.close();
  });

  it('syncs every transaction and logs ahead', async () => {
    await createAndClose();
    const database = await openStateFile(path);
    expect([
      database.prepare('PRAGMA synchronous').get()?.['synchronous'],
      database.prepare('PRAGMA journal_mode').get()?.['journal_mode'],
    ]).toEqual([2, 'wal']);
    database.close();
  });

  it('gives up on a lock that nobody lets go of, and goes on once it is free', async () => {
    const holder = await lockedFile();
    const store = createSqliteStateStore({ path, contention: { maxTries: 3, maxPauseMs: 5 } });
    const write = (): Promise<void> =>
      store.transact(['a'], () => ({ result: undefined, writes: new Map([['a', 1]]) }));
    await expect(write()).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(await store.list('', { limit: 1 })).toEqual([]);
    holder.exec('ROLLBACK');
    await write();
    expect(await store.list('', { limit: 1 })).toEqual([{ key: 'a', document: 1 }]);
    holder.close();
    await store.close();
  });

  it('waits for a lock without holding up the process', async () => {
    const holder = await lockedFile();
    const store = createSqliteStateStore({ path });
    let ticks = 0;
    const ticking = setInterval(() => (ticks += 1), 5);
    setTimeout(() => holder.exec('ROLLBACK'), 300);
    await store.transact(['a'], () => ({ result: undefined, writes: new Map([['a', 1]]) }));
    clearInterval(ticking);
    expect(ticks).toBeGreaterThan(5);
    holder.close();
    await store.close();
  });

  it('refuses a file that another version wrote', async () => {
    await createAndClose();
    const database = await openStateFile(path);
    database.exec('PRAGMA user_version = 2');
    database.close();
    await expect(createSqliteStateStore({ path }).list('', { limit: 1 })).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('another version'),
    });
  });

  it('says that a file is damaged, and leaves it as it is', async () => {
    await createAndClose();
    await writeFile(path, 'no database, but a text that is longer than the header of one'.repeat(20));
    await expect(createSqliteStateStore({ path }).list('', { limit: 1 })).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('damaged'),
    });
    expect((await stat(path)).size).toBeGreaterThan(1_000);
  });

  it('says that the folder cannot be made, and works once it can', async () => {
    await writeFile(join(folder, 'made'), 'in the way');
    const store = createSqliteStateStore({ path });
    await expect(store.list('', { limit: 1 })).rejects.toMatchObject({ code: 'internal' });
    await rm(join(folder, 'made'));
    expect(await store.list('', { limit: 1 })).toEqual([]);
    await store.close();
  });

  it('takes an empty file for a new one', async () => {
    await createAndClose();
    await truncate(path);
    const store = createSqliteStateStore({ path });
    expect(await store.list('', { limit: 1 })).toEqual([]);
    await store.close();
  });

  async function createAndClose(): Promise<void> {
    const store = createSqliteStateStore({ path });
    await store.list('', { limit: 1 });
    await store.close();
  }

  async function lockedFile(): ReturnType<typeof openStateFile> {
    await createAndClose();
    const holder = await openStateFile(path);
    holder.exec('BEGIN IMMEDIATE');
    return holder;
  }
});
