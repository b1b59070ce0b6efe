import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoCode } from '../errors/system-error.ts';

/** Ends the name of every file that is still being written. */
export const partSuffix = '.part';

/** A name beside `finalPath` that no other writer uses. */
export function partPathFor(finalPath: string): string {
  return join(dirname(finalPath), `.${basename(finalPath)}.${randomUUID()}${partSuffix}`);
}

/** Returns once content and size of the file are on the disk. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Gives a complete, synced file its final name so that the name outlives a power cut. Replaces what was there. */
export async function renameDurably(partPath: string, finalPath: string): Promise<void> {
  await rename(partPath, finalPath);
  await syncFile(dirname(finalPath));
}

/**
 * Moves a file, atomically at the destination, also from another file system (then by a copy beside the destination).
 * The source is gone afterwards; when this throws, nothing new lies at the destination.
 */
export async function moveDurably(sourcePath: string, finalPath: string): Promise<void> {
  await syncFile(sourcePath);
  try {
    await renameDurably(sourcePath, finalPath);
  } catch (error) {
    if (errnoCode(error) !== 'EXDEV') throw error;
    await copyDurably(sourcePath, finalPath);
    await rm(sourcePath, { force: true });
  }
}

/** Copies a file to a name at which readers see all of it or nothing. */
async function copyDurably(sourcePath: string, finalPath: string): Promise<void> {
  const partPath = partPathFor(finalPath);
  try {
    await copyFile(sourcePath, partPath, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await syncFile(partPath);
    await renameDurably(partPath, finalPath);
  } finally {
    await rm(partPath, { force: true });
  }
}

/** File systems without hard links, other devices, too many links, and kernels that forbid linking to others' files. */
const linkRefusals: ReadonlySet<string> = new Set(['EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** Puts the file at `targetPath` by a hard link where that works, else by a copy. Replaces what was there. */
export async function linkOrCopy(sourcePath: string, targetPath: string): Promise<void> {
  await rm(targetPath, { force: true });
  try {
    await link(sourcePath, targetPath);
  } catch (error) {
    if (!linkRefusals.has(errnoCode(error) ?? '')) throw error;
    await copyDurably(sourcePath, targetPath);
  }
}
