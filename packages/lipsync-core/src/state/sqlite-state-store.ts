import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { toLipsyncError } from '../errors/index.ts';
import { contended, defaultContentionLimits, untilUncontended, type ContentionLimits } from './contention.ts';
import { openStateFile } from './sqlite-file.ts';
import { isBusy, isSqliteError, toSqliteError } from './sqlite-errors.ts';
import { checkedWrites, checkKeys, checkPage, closedError } from './state-rules.ts';
import type { Change, Documents, Json, StateStore, StoredDocument } from './state-store.ts';

export interface SqliteStateStoreOptions {
  /** The file; it and its folder are made with the first call. On a local disk: its locks do not work over a network. */
  readonly path: string;
  readonly contention?: ContentionLimits;
}

/** Behind every printable ASCII character, and so behind every key that begins with what stands before it. */
const behindAllKeys = '\u007F';

/**
 * Documents in a file that several processes share. A transaction is one synchronous step under the file's write lock,
 * on the disk when it resolves. The caller closes the store.
 */
export function createSqliteStateStore({ path, contention = defaultContentionLimits }: SqliteStateStoreOptions): StateStore {
  let opening: Promise<DatabaseSync> | undefined;
  let closed = false;

  async function open(): Promise<DatabaseSync> {
    await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
      throw toLipsyncError(error);
    });
    return untilUncontended(contention, () => whenFree(() => openStateFile(path)));
  }

  async function opened(): Promise<DatabaseSync> {
    if (closed) throw closedError();
    opening ??= open();
    try {
      return await opening;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  }

  async function inTurn<Result>(step: (database: DatabaseSync) => Result): Promise<Result> {
    const database = await opened();
    return untilUncontended(contention, () => whenFree(() => {
      if (!database.isOpen) throw closedError();
      return step(database);
    }));
  }

  return {
    async transact(keys, change) {
      checkKeys(keys);
      return inTurn((database) => transactNow(database, keys, change));
    },
    async list(prefix, page) {
      checkPage(prefix, page);
      return inTurn((database) => listNow(database, prefix, page.after ?? '', page.limit));
    },
    async close() {
      closed = true;
      const database = await opening?.catch(() => undefined);
      if (database?.isOpen) database.close();
    },
  };
}

async function whenFree<Result>(step: () => Result | Promise<Result>): Promise<Result | typeof contended> {
  try {
    return await step();
  } catch (error) {
    if (isBusy(error)) return contended;
    throw isSqliteError(error) ? toSqliteError(error) : error;
  }
}

function transactNow<Result>(database: DatabaseSync, keys: readonly string[], change: (documents: Documents) => Change<Result>): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const changed = change(readDocuments(database, keys));
    for (const [key, document] of checkedWrites(keys, changed)) writeDocument(database, key, document);
    database.exec('COMMIT');
    return changed.result;
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}

function readDocuments(database: DatabaseSync, keys: readonly string[]): Documents {
  const read = database.prepare('SELECT document FROM documents WHERE key = ?');
  return new Map(keys.map((key) => {
    const text = read.get(key)?.['document'];
    return [key, typeof text === 'string' ? parseDocument(text) : undefined];
  }));
}

function writeDocument(database: DatabaseSync, key: string, document: Json | null): void {
  if (document === null) {
    database.prepare('DELETE FROM documents WHERE key = ?').run(key);
    return;
  }
  database
    .prepare('INSERT INTO documents (key, document) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET document = excluded.document')
    .run(key, JSON.stringify(document));
}

function listNow(database: DatabaseSync, prefix: string, after: string, limit: number): StoredDocument[] {
  return database
    .prepare('SELECT key, document FROM documents WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?')
    .all(prefix, `${prefix}${behindAllKeys}`, after, limit)
    .map(({ key, document }) => ({ key: String(key), document: parseDocument(String(document)) }));
}

function parseDocument(text: string): Json {
  // `as`: only this file writes documents, as JSON.
  return JSON.parse(text) as Json;
}
