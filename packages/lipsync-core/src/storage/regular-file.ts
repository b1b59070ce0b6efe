import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { errnoCode } from '../errors/system-error.ts';

export interface OpenedFile {
  readonly handle: FileHandle;
  /** Of the very file that was opened. */
  readonly stats: Stats;
}

/**
 * Opens a regular file for reading. Pipes, devices and folders are refused without waiting for them and without reading
 * from them. The caller closes the handle. Throws what `refuse` makes of the reason, which continues "the file …".
 */
export async function openRegularFile(
  path: string,
  refuse: (reason: string, cause: unknown) => Error,
): Promise<OpenedFile> {
  // Opening a named pipe would otherwise wait for a writer.
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
