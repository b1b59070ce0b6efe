import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoCode } from '../errors/system-error.ts';

export interface OpenedFile {
  readonly handle: FileHandle;
  /** Taken from the open handle, so that they describe the file that is read. */
  readonly stats: Stats;
}

/**
 * Opens a regular file for reading. Refuses pipes, devices and folders without blocking on them. Throws the error that
 * `refuse` creates; its reason completes a sentence that starts with "the file". The caller closes the handle.
 */
export async function openRegularFile(
  path: string,
  refuse: (reason: string, cause: unknown) => Error,
): Promise<OpenedFile> {
  // Without O_NONBLOCK, opening a named pipe blocks until it has a writer.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw refuse(reasonOf(cause), cause);
  });
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, stats };
  await handle.close();
  throw refuse(stats.isDirectory() ? 'is a folder' : 'is not a regular file', new Error(path));
}

function reasonOf(cause: unknown): string {
  switch (errnoCode(cause)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'is missing';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by this user';
    default:
      return 'cannot be read';
  }
}
