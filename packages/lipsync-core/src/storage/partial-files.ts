import { readdir, rm, stat } from 'node:fs/promises';
import type { Dirent } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '../errors/system-error.ts';
import { isAbandonedPart, partSuffix } from './durable-files.ts';

/** Which partial files belong to writers that crashed. */
export interface SweepAge {
  /** Must exceed the longest pause of a running writer. */
  readonly olderThanMs: number;
  readonly nowMs: number;
}

/** Deletes partial files of ended processes of this host, and older ones, in these folders; returns their number. */
export async function sweepPartialFiles(folders: readonly string[], age: SweepAge): Promise<number> {
  let deleted = 0;
  for (const folder of folders) deleted += (await sweepFolder(folder, age)).deleted;
  return deleted;
}

/** As `sweepPartialFiles`, but also returns the number of partial files that may still be written. */
export async function sweepFolder(
  folder: string,
  { olderThanMs, nowMs }: SweepAge,
): Promise<{ readonly deleted: number; readonly kept: number }> {
  const parts = (await listEntries(folder)).filter((entry) => entry.isFile() && isPart(entry.name));
  let deleted = 0;
  for (const part of parts) {
    const changedBeforeMs = (await isAbandonedPart(part.name)) ? Infinity : nowMs - olderThanMs;
    if (await deleteIfOlder(join(folder, part.name), changedBeforeMs)) deleted += 1;
  }
  return { deleted, kept: parts.length - deleted };
}

/** The entries of a folder; none when it does not exist. */
export async function listEntries(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function deleteIfOlder(path: string, changedBeforeMs: number): Promise<boolean> {
  try {
    if ((await stat(path)).mtimeMs > changedBeforeMs) return false;
    await rm(path);
    return true;
  } catch (error) {
    // The writer has renamed the file, or another sweep has deleted it.
    if (errnoCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Partial files of writers, and nothing that a person has put there. */
function isPart(name: string): boolean {
  return name.startsWith('.') && name.endsWith(partSuffix);
}
