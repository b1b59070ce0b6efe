import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toLipsyncError, toStorageError, type StorageFolder } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import type { FolderHealth } from './artifact-store.ts';
import { partPathFor } from './durable-files.ts';

/** Larger than what file systems keep beside the name of a file, so that a full disk is noticed. */
const testBytes = Buffer.alloc(64 * 1024);

/** Writes and deletes a small file in a folder, because permissions alone do not show a full or read-only disk. */
export async function checkFolder(folder: StorageFolder): Promise<FolderHealth> {
  const { path } = folder;
  try {
    await createFolder(path);
    await writeTestFile(partPathFor(join(path, 'health')));
    const { bavail, bsize } = await statfs(path);
    return { path, freeBytes: bavail * bsize, error: null };
  } catch (error) {
    return { path, freeBytes: null, error: toLipsyncError(toStorageError(error, folder)) };
  }
}

/**
 * Creates a folder and its parents. Throws the system error of the folder that could not be created: a recursive mkdir
 * of Node reports a read-only file system as ENOENT.
 */
export async function createFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const refused = errnoCode(error) === 'ENOENT' && error instanceof Error && 'path' in error ? error.path : undefined;
    if (typeof refused !== 'string') throw error;
    await mkdir(refused);
    await mkdir(path, { recursive: true });
  }
}

async function writeTestFile(path: string): Promise<void> {
  try {
    await writeFile(path, testBytes, { flag: 'wx' });
  } finally {
    await rm(path, { force: true });
  }
}
