import { constants } from 'node:fs';
import { copyFile, link, open, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoCode } from '../errors/system-error.ts';
import { currentProcess, isGone } from '../processes/process-owner.ts';
import { ownerOf, processFolderName } from '../processes/workspace.ts';

/** Suffix of every partial file. */
export const partSuffix = '.part';

/** Returns a unique path for a partial file in the folder of `finalPath`. Its name contains the process that writes it. */
export function partPathFor(finalPath: string): string {
  return join(dirname(finalPath), `.${basename(finalPath)}.${processFolderName(currentProcess())}${partSuffix}`);
}

/** Whether a partial file with that name certainly belongs to a process of this host that has ended. */
export async function isAbandonedPart(name: string): Promise<boolean> {
  const owner = ownerOf(name.slice(name.indexOf('process-'), -partSuffix.length));
  return owner !== undefined && (await isGone(owner));
}

/** Resolves when the file's content and size are on disk. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Renames a complete, synced file so that the new name survives a power loss. Replaces an existing file. */
export async function renameDurably(partPath: string, finalPath: string): Promise<void> {
  await rename(partPath, finalPath);
  await syncFile(dirname(finalPath));
}

/**
 * Moves a file atomically for readers of the destination; from another file system by a copy at `partPath`, which is on
 * that of the destination, and a rename. Leaves the destination unchanged when it throws.
 */
export async function moveDurably(
  sourcePath: string,
  finalPath: string,
  partPath: string = partPathFor(finalPath),
): Promise<void> {
  await syncFile(sourcePath);
  try {
    await renameDurably(sourcePath, finalPath);
  } catch (error) {
    if (errnoCode(error) !== 'EXDEV') throw error;
    await copyDurably(sourcePath, finalPath, partPath);
    await rm(sourcePath, { force: true });
  }
}

/** Copies a file atomically for readers of the destination. */
async function copyDurably(sourcePath: string, finalPath: string, partPath = partPathFor(finalPath)): Promise<void> {
  await requireRoom(dirname(finalPath), (await stat(sourcePath)).size);
  try {
    await copySynced(sourcePath, partPath);
    await renameDurably(partPath, finalPath);
  } finally {
    await rm(partPath, { force: true });
  }
}

/**
 * Throws `ENOSPC` if a file of that size cannot fit into a folder, so that a job that waits for room does not write most
 * of it again and again. File systems that report no size are not checked.
 */
export async function requireRoom(folder: string, sizeBytes: number): Promise<void> {
  const { bfree, bsize, blocks } = await statfs(folder);
  if (blocks === 0 || bfree * bsize >= sizeBytes) return;
  throw Object.assign(new Error(`ENOSPC: no room for ${sizeBytes} bytes in ${folder}`), { code: 'ENOSPC' });
}

/** Copies a file over `targetPath`, not atomically; resolves when the copy is on disk. */
export async function copySynced(sourcePath: string, targetPath: string): Promise<void> {
  await copyFile(sourcePath, targetPath, constants.COPYFILE_FICLONE);
  await syncFile(targetPath);
}

/** Writes `chunks` over `targetPath`, not atomically; resolves when the file is on disk. */
export async function writeSynced(chunks: AsyncIterable<Uint8Array>, targetPath: string): Promise<void> {
  await writeFile(targetPath, chunks);
  await syncFile(targetPath);
}

/** Errors of file systems without hard links, of other devices, and of kernels that protect files of other users. */
const linkRefusals: ReadonlySet<string> = new Set([
  'EXDEV',
  'EPERM',
  'EACCES',
  'EMLINK',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
]);

/** Creates `targetPath` as a hard link, or as a copy if links are not supported. Replaces an existing file. */
export async function linkOrCopy(sourcePath: string, targetPath: string): Promise<void> {
  await rm(targetPath, { force: true });
  await link(sourcePath, targetPath).catch((error: unknown) => {
    if (!isLinkRefusal(error)) throw error;
    return copyDurably(sourcePath, targetPath);
  });
}

/**
 * Gives a complete, synced file its final name. Throws `EEXIST` when that name is taken. The partial file may remain as
 * a second link; the caller deletes it.
 */
export async function placeDurably(partPath: string, finalPath: string): Promise<void> {
  await link(partPath, finalPath).catch((error: unknown) => {
    if (!isLinkRefusal(error)) throw error;
    return reserveAndRename(partPath, finalPath);
  });
  await syncFile(dirname(finalPath));
}

/**
 * `placeDurably` for file systems without hard links. Reserves the name with an empty file first, because a rename
 * alone would replace a file that another process has created in the meantime.
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
