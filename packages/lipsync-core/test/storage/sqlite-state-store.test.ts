import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStateFile } from '../../src/storage/sqlite-file.ts';
import { SqliteStateStore } from '../../src/storage/sqlite-state-store.ts';
import { stateStoreSuite } from '../../src/testing/state-store-suite.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'state-test-'));
  path = join(folder, 'new', 'nested', 'state.sqlite');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

stateStoreSuite('SQLite', async () => {
  const [store, other] = [new SqliteStateStore({ path }), new SqliteStateStore({ path })];
  return { store, other, dispose: async () => void (await Promise.all([store.close(), other.close()])) };
});

describe('SQLite', () => {
  it('The state file is created by the first call.', async () => {
    const store = new SqliteStateStore({ path });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await store.list('', { limit: 1 })).toEqual([]);
    expect((await stat(path)).isFile()).toBe(true);
    await store.close();
  });

  it('Documents survive a restart.', async () => {
    const before = new SqliteStateStore({ path });
    await before.transact(['a'], () => ({ result: undefined, writes: new Map([['a', { kept: true }]]) }));
    await before.close();
    const after = new SqliteStateStore({ path });
    expect(await after.list('', { limit: 1 })).toEqual([{ key: 'a', document: { kept: true } }]);
    await after.close();
  });

  it('The state file uses a write-ahead log and syncs every transaction.', async () => {
    await createAndClose();
    const database = await openStateFile(path);
    expect([
      database.prepare('PRAGMA synchronous').get()?.['synchronous'],
      database.prepare('PRAGMA journal_mode').get()?.['journal_mode'],
    ]).toEqual([2, 'wal']);
    database.close();
  });

  it('A write fails while another connection holds the lock, and succeeds when it is released.', async () => {
    const holder = await lockedFile();
    const store = new SqliteStateStore({ path, contention: { maxTries: 3, maxPauseMs: 5 } });
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

  it('Waiting for a lock does not block the event loop.', async () => {
    const holder = await lockedFile();
    const store = new SqliteStateStore({ path });
    let ticks = 0;
    const ticking = setInterval(() => (ticks += 1), 5);
    setTimeout(() => holder.exec('ROLLBACK'), 300);
    await store.transact(['a'], () => ({ result: undefined, writes: new Map([['a', 1]]) }));
    clearInterval(ticking);
    expect(ticks).toBeGreaterThan(5);
    holder.close();
    await store.close();
  });

  it('A state file of another version is refused.', async () => {
    await createAndClose();
    const database = await openStateFile(path);
    database.exec('PRAGMA user_version = 2');
    database.close();
    await expect(new SqliteStateStore({ path }).list('', { limit: 1 })).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('another version'),
    });
  });

  it('A damaged state file is reported and left unchanged.', async () => {
    await createAndClose();
    await writeFile(path, 'not a database, but longer than the header of one'.repeat(30));
    await expect(new SqliteStateStore({ path }).list('', { limit: 1 })).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('damaged'),
    });
    expect((await stat(path)).size).toBeGreaterThan(1_000);
  });

  it('A folder that cannot be created is reported, and the next call tries again.', async () => {
    await writeFile(join(folder, 'new'), 'not a folder');
    const store = new SqliteStateStore({ path });
    await expect(store.list('', { limit: 1 })).rejects.toMatchObject({ code: 'internal' });
    await rm(join(folder, 'new'));
    expect(await store.list('', { limit: 1 })).toEqual([]);
    await store.close();
  });

  it('An empty file is treated as a new state file.', async () => {
    await createAndClose();
    await truncate(path);
    const store = new SqliteStateStore({ path });
    expect(await store.list('', { limit: 1 })).toEqual([]);
    await store.close();
  });

  async function createAndClose(): Promise<void> {
    const store = new SqliteStateStore({ path });
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
