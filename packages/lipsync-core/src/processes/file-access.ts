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
 * `restricted`: permissions were taken from it. `open`: it stays open, because it belongs to another user or to
 * everyone.
 */
export type Protection = 'protected' | 'restricted' | 'open';

/** Creates a folder with the access, and restricts an existing folder to it. */
export async function protectFolder(path: string, access: FileAccess): Promise<Protection> {
  await createFolder(path);
  const { mode, uid } = await stat(path);
  const removed = removedPermissions[access];
  if ((mode & removed) === 0) return 'protected';
  if (uid !== process.getuid?.() || (mode & stickyBit) !== 0) return 'open';
  await chmod(path, mode & 0o7777 & ~removed);
  return 'restricted';
}

/**
 * For the processes of the service: every file that this process and its children create from now on has the access,
 * whatever the umask was, and the folders are restricted. A folder that loses permissions or cannot
 * be restricted is logged.
 */
export async function protectFiles(folders: readonly string[], access: FileAccess, logger: Logger): Promise<void> {
  if (access === 'umask') return;
  process.umask(removedPermissions[access]);
  for (const folder of folders) {
    const protection = await protectFolder(folder, access).catch((thrown: unknown) => {
      logger.warn({ folder, error: toLipsyncError(thrown) }, 'the access to a folder could not be restricted');
      return 'protected';
    });
    if (protection === 'restricted')
      logger.info({ folder, access }, 'other users can no longer read a folder; LIPSYNC_FILE_ACCESS decides who can');
    if (protection === 'open') logger.warn({ folder, access }, 'a folder owned by another user is readable by others');
  }
}
