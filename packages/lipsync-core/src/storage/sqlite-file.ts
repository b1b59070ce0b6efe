import type { DatabaseSync } from 'node:sqlite';
import { LipsyncError } from '../errors/index.ts';

/** Increase when stored documents can no longer be read by this version. */
const fileFormat = 1;

/** How long a step waits for the lock inside SQLite, where it holds up the event loop; longer waits are ours. */
const lockTimeoutMs = 20;

/**
 * Opens the file, made ready where it is new: a write-ahead log, so that readers and the writer do not wait for each
 * other, synced at every commit. Throws SQLite's own errors, and `internal` for a file of another version. The caller
 * closes it.
 */
export async function openStateFile(path: string): Promise<DatabaseSync> {
  // Loaded here because most of what imports the core never opens a state file.
  const { DatabaseSync: Database } = await import('node:sqlite');
  const database = new Database(path, { timeout: lockTimeoutMs });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    prepareTables(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function prepareTables(database: DatabaseSync): void {
  const format = formatOf(database);
  if (format === fileFormat) return;
  if (format !== 0) {
    throw new LipsyncError(
      'internal',
      'The state file in the data folder was written by another version of this service. Start the version that wrote it.',
    );
  }
  database.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA user_version = ${fileFormat};
    COMMIT;
  `);
}

function formatOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
}
