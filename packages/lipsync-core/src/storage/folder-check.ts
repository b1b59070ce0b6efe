import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toLipsyncError, toStorageError, type StorageFolder } from '../errors/index.ts';
import { createFolder } from '../processes/workspace.ts';
import type { FolderHealth } from './artifact-store.ts';
import { partPathFor } from './durable-files.ts';

/** Content of test writes: larger than what file systems keep beside the name of a file, so that a full disk is noticed. */
export const testBytes = Buffer.alloc(64 * 1024);

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

/** Throws the `StorageError` of a folder that cannot be written. */
export async function requireWritable(folder: StorageFolder): Promise<void> {
  const { error } = await checkFolder(folder);
  if (error) throw error;
}

async function writeTestFile(path: string): Promise<void> {
  try {
    await writeFile(path, testBytes);
  } finally {
    await rm(path, { force: true });
  }
}
