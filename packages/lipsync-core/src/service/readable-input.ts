import { access, constants, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InputNotFoundError } from '../errors/index.ts';

/** The absolute path of an input file. Throws `InputNotFoundError`, naming it as `what`, when there is no file that can be read. */
export async function requireReadable(path: string, what: string): Promise<string> {
  const absolute = resolve(path);
  try {
    await access(absolute, constants.R_OK);
    if ((await stat(absolute)).isFile()) return absolute;
  } catch (cause) {
    throw new InputNotFoundError(`The ${what} "${path}" does not exist or cannot be read.`, { cause });
  }
  throw new InputNotFoundError(`The ${what} "${path}" is not a file.`);
}
