import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { toLipsyncError } from '../errors/index.ts';
import { createFolder } from '../processes/workspace.ts';
import { BaseStateStore, contended, type CheckedChange, type ContentionLimits } from './base-state-store.ts';
import { isBusy, isSqliteError, openStateFile, toSqliteError } from './sqlite-file.ts';
import type { Documents, Json, StoredDocument } from './state-store.ts';

export interface SqliteStateStoreOptions {
  /** Created with its folder by the first call. Must be on a local disk: SQLite locks are unreliable over a network. */
  readonly path: string;
  readonly contention?: ContentionLimits;
}

/** Sorts after every printable ASCII character: an exclusive upper bound for the keys with a prefix. */
const upperBound = '\u007F';

/**
 * Documents in a SQLite file that several processes may share. A transaction is one synchronous step under the write
 * lock and is on disk when it resolves.
 */
export class SqliteStateStore extends BaseStateStore {
  readonly #path: string;
  #opening: Promise<DatabaseSync> | undefined;

  constructor({ path, contention }: SqliteStateStoreOptions) {
    super(contention);
    this.#path = path;
  }

  protected override tryTransact<Result>(
    keys: readonly string[],
    change: (documents: Documents) => CheckedChange<Result>,
  ): Promise<Result | typeof contended> {
    return this.#withDatabase((database) => transact(database, keys, change));
  }

  protected override tryList(
    prefix: string,
    after: string,
    limit: number,
  ): Promise<readonly StoredDocument[] | typeof contended> {
    return this.#withDatabase((database) => listDocuments(database, prefix, after, limit));
  }

  protected override async closeDriver(): Promise<void> {
    const database = await this.#opening?.catch(() => undefined);
    database?.close();
  }

  async #withDatabase<Result>(step: (database: DatabaseSync) => Result): Promise<Result | typeof contended> {
    try {
      return step(await this.#open());
    } catch (error) {
      if (isBusy(error)) return contended;
      throw isSqliteError(error) ? toSqliteError(error) : error;
    }
  }

  /** Opens the file once; after a failure, the next call tries again. */
  async #open(): Promise<DatabaseSync> {
    this.#opening ??= openWithFolder(this.#path);
    try {
      return await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

async function openWithFolder(path: string): Promise<DatabaseSync> {
  try {
    await createFolder(dirname(path));
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
  const select = database.prepare('SELECT document FROM documents WHERE key = ?');
  return new Map(
    keys.map((key) => {
      const text = select.get(key)?.['document'];
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

function listDocuments(database: DatabaseSync, prefix: string, after: string, limit: number): StoredDocument[] {
  // One lower bound: with two, SQLite starts each page at the first and reads all pages before.
  const [operator, from] = after < prefix ? ['>=', prefix] : ['>', after];
  return database
    .prepare(`SELECT key, document FROM documents WHERE key ${operator} ? AND key < ? ORDER BY key LIMIT ?`)
    .all(from ?? prefix, `${prefix}${upperBound}`, limit)
    .map(({ key, document }) => ({ key: String(key), document: parseDocument(String(document)) }));
}

function parseDocument(text: string): Json {
  // `as`: only `writeDocument` writes this column, always as JSON.
  return JSON.parse(text) as Json;
}
