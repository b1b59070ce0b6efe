import type { DatabaseSync } from 'node:sqlite';
import { LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';

/** Increase it when this version can no longer read stored documents. */
const fileFormat = 1;

/** How long SQLite itself waits for a lock, which blocks the event loop. Longer waits are asynchronous retries. */
const lockTimeoutMs = 20;

/** Primary result codes (https://sqlite.org/rescode.html): the low byte of an extended code. */
const sqliteBusy = 5;
const sqliteLocked = 6;
const sqliteIoError = 10;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

/**
 * Opens the state file and creates its tables when it is new. Uses a write-ahead log, so that readers and the writer do
 * not block each other, and syncs every commit. Throws SQLite's errors, and `internal` for a file of another version.
 * The caller closes the database.
 */
export async function openStateFile(path: string): Promise<DatabaseSync> {
  // Imported lazily, because most users of the core never open a state file.
  const { DatabaseSync: Database } = await import('node:sqlite');
  const database = new Database(path, { timeout: lockTimeoutMs });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    createTables(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function createTables(database: DatabaseSync): void {
  const format = readFormat(database);
  if (format === fileFormat) return;
  if (format !== 0) {
    throw new LipsyncError(
      'internal',
      'The state file in the data folder was written by another version of this service. Start that version instead.',
    );
  }
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA user_version = ${fileFormat};
    COMMIT;
  `);
}

function readFormat(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
}

/** Whether the step failed because another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === sqliteBusy || code === sqliteLocked;
}

export function isSqliteError(error: unknown): boolean {
  return resultCode(error) !== undefined;
}

/** Converts an error of SQLite to `resource_exhausted` or `internal`, with advice for the operator. */
export function toSqliteError(cause: unknown): LipsyncError {
  switch (resultCode(cause)) {
    case sqliteFull:
      return new LipsyncError(
        'resource_exhausted',
        'The disk of the data folder is full. Free some space, then try again.',
        { cause },
      );
    case sqliteIoError:
      return new LipsyncError(
        'resource_exhausted',
        'The state file in the data folder could not be read or written. Check the disk, then try again.',
        { cause },
      );
    case sqliteCorrupt:
    case sqliteNotADatabase:
      return new LipsyncError(
        'internal',
        'The state file in the data folder is damaged. Stop every process that uses the folder, move the file away, and start again.',
        { cause },
      );
    default:
      return new LipsyncError(
        'internal',
        'The state file in the data folder cannot be opened. Check its permissions.',
        { cause },
      );
  }
}

function resultCode(error: unknown): number | undefined {
  if (errnoCode(error) !== 'ERR_SQLITE_ERROR') return undefined;
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}
