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
    await copySynced(sourcePath, partPath);
    await renameDurably(partPath, finalPath);
  } finally {
    await rm(partPath, { force: true });
  }
}

/** Copies a file over `targetPath`; returns once the copy is on the disk. */
export async function copySynced(sourcePath: string, targetPath: string): Promise<void> {
  await copyFile(sourcePath, targetPath, constants.COPYFILE_FICLONE);
  await syncFile(targetPath);
}

/** File systems without hard links, other devices, too many links, and kernels that forbid linking to others' files. */
const linkRefusals: ReadonlySet<string> = new Set([
  'EXDEV',
  'EPERM',
  'EACCES',
  'EMLINK',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
]);

/** Puts the file at `targetPath` by a hard link where that works, else by a copy. Replaces what was there. */
export async function linkOrCopy(sourcePath: string, targetPath: string): Promise<void> {
  await rm(targetPath, { force: true });
  await link(sourcePath, targetPath).catch((error: unknown) => {
    if (!isLinkRefusal(error)) throw error;
    return copyDurably(sourcePath, targetPath);
  });
}

/**
 * Gives a complete, synced file its final name unless something has that name already (`EEXIST`). The part may keep
 * its own name, too; the caller removes it.
 */
export async function placeDurably(partPath: string, finalPath: string): Promise<void> {
  await link(partPath, finalPath).catch((error: unknown) => {
    if (!isLinkRefusal(error)) throw error;
    return reserveAndRename(partPath, finalPath);
  });
  await syncFile(dirname(finalPath));
}

/**
 * As `placeDurably`, for file systems without hard links: takes the name with an empty file first, because a rename
 * alone would replace what others put there meanwhile.
 */
export async function reserveAndRename(partPath: string, finalPath: string): Promise<void> {
  await (await open(finalPath, 'wx')).close();
  try {
    await rename(partPath, finalPath);
  } catch (error) {
    await rm(finalPath, { force: true });
    throw error;
  }
}

function isLinkRefusal(error: unknown): boolean {
  return linkRefusals.has(errnoCode(error) ?? '');
}
