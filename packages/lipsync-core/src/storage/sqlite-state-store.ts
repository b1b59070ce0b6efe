import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { toLipsyncError } from '../errors/index.ts';
import { contended, type ContentionLimits } from './contention.ts';
import { createStateStore, type CheckedChange } from './create-state-store.ts';
import { isBusy, isSqliteError, toSqliteError } from './sqlite-errors.ts';
import { openStateFile } from './sqlite-file.ts';
import type { Documents, Json, StateStore, StoredDocument } from './state-store.ts';

export interface SqliteStateStoreOptions {
  /** The file; it and its folder are made with the first call. On a local disk: its locks do not work over a network. */
  readonly path: string;
  readonly contention?: ContentionLimits;
}

/** Behind every printable ASCII character: what begins with a prefix comes before the prefix and this. */
const behindAllCharacters = '\u007F';

/**
 * Documents in a file that several processes share. A transaction is one synchronous step under the file's write lock,
 * on the disk when it resolves. The caller closes the store.
 */
export function createSqliteStateStore({ path, contention }: SqliteStateStoreOptions): StateStore {
  let opening: Promise<DatabaseSync> | undefined;

  async function database(): Promise<DatabaseSync> {
    opening ??= open(path);
    try {
      return await opening;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  }

  async function withDatabase<Result>(step: (database: DatabaseSync) => Result): Promise<Result | typeof contended> {
    try {
      return step(await database());
    } catch (error) {
      if (isBusy(error)) return contended;
      throw isSqliteError(error) ? toSqliteError(error) : error;
    }
  }

  return createStateStore(
    {
      attempt: (keys, change) => withDatabase((database) => transact(database, keys, change)),
      list: (prefix, after, limit) => withDatabase((database) => list(database, prefix, after, limit)),
      async close() {
        const opened = await opening?.catch(() => undefined);
        opened?.close();
      },
    },
    contention,
  );
}

async function open(path: string): Promise<DatabaseSync> {
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (error) {
    throw toLipsyncError(error);
  }
  return openStateFile(path);
}

function transact<Result>(
  database: DatabaseSync,
  keys: readonly string[],
  change: (documents: Documents) => CheckedChange<Result>,
): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const { result, writes } = change(readDocuments(database, keys));
    for (const [key, document] of writes) writeDocument(database, key, document);
    database.exec('COMMIT');
    return result;
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}

function readDocuments(database: DatabaseSync, keys: readonly string[]): Documents {
  const read = database.prepare('SELECT document FROM documents WHERE key = ?');
  return new Map(
    keys.map((key) => {
      const text = read.get(key)?.['document'];
      return [key, typeof text === 'string' ? parseDocument(text) : undefined];
    }),
  );
}

function writeDocument(database: DatabaseSync, key: string, document: Json | null): void {
  if (document === null) {
    database.prepare('DELETE FROM documents WHERE key = ?').run(key);
    return;
  }
  database
    .prepare(
      'INSERT INTO documents (key, document) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET document = excluded.document',
    )
    .run(key, JSON.stringify(document));
}

function list(database: DatabaseSync, prefix: string, after: string, limit: number): StoredDocument[] {
  return database
    .prepare('SELECT key, document FROM documents WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?')
    .all(prefix, `${prefix}${behindAllCharacters}`, after, limit)
    .map(({ key, document }) => ({ key: String(key), document: parseDocument(String(document)) }));
}

function parseDocument(text: string): Json {
  // `as`: only this file writes documents, as JSON.
  return JSON.parse(text) as Json;
}
