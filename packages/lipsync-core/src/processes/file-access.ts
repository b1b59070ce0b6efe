import { chmod, stat } from 'node:fs/promises';
import { toLipsyncError } from '../errors/index.ts';
import type { Logger } from '../contract/ports.ts';
import { createFolder } from './workspace.ts';

/** Who may read stored files: their owner, also their group, or as the umask of the process allows. */
export const fileAccesses = ['owner', 'group', 'umask'] as const;
export type FileAccess = (typeof fileAccesses)[number];

/** Permissions that are taken from files and folders. */
const removedPermissions: Readonly<Record<FileAccess, number>> = { owner: 0o077, group: 0o007, umask: 0 };

/** Folders with this bit, such as /tmp, belong to everyone. */
const stickyBit = 0o1000;

/**
 * Creates a folder with the access, and restricts an existing folder to it. Returns false for a folder that stays
 * open, because it belongs to another user or to everyone.
 */
export async function protectFolder(path: string, access: FileAccess): Promise<boolean> {
  await createFolder(path);
  const { mode, uid } = await stat(path);
  const removed = removedPermissions[access];
  if ((mode & removed) === 0) return true;
  if (uid !== process.getuid?.() || (mode & stickyBit) !== 0) return false;
  await chmod(path, mode & 0o7777 & ~removed);
  return true;
}

/**
 * For the processes of the service: every file that this process and its children create from now on has the access,
 * whatever the umask was, and the folders are restricted. A folder that cannot be restricted is logged.
 */
export async function protectFiles(folders: readonly string[], access: FileAccess, logger: Logger): Promise<void> {
  if (access === 'umask') return;
  process.umask(removedPermissions[access]);
  for (const folder of folders) {
    const isProtected = await protectFolder(folder, access).catch((thrown: unknown) => {
      logger.warn({ folder, error: toLipsyncError(thrown) }, 'the access to a folder could not be restricted');
      return true;
    });
    if (!isProtected) logger.warn({ folder, access }, 'other users can read a folder that is not of this user');
  }
}
