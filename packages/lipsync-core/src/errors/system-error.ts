/** The system error code (`ENOENT`, …) of a thrown value, if it has one. */
export function errnoCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

const readOnly = 'its file system is read-only';
const forbidden = 'this user may not write there';
const notFolder = 'a part of its path is a file';

/** Why a folder cannot be written, by the system error of a write. Errors of a network connection are not among them. */
const writeRefusals: ReadonlyMap<string, string> = new Map([
  ['EROFS', readOnly],
  ['EACCES', forbidden],
  ['EPERM', forbidden],
  ['ENOTDIR', notFolder],
  ['EEXIST', notFolder],
  ['EISDIR', 'a folder has the name of the file'],
  ['ENOENT', 'it does not exist'],
  ['ELOOP', 'its path contains a loop of symbolic links'],
  ['ENAMETOOLONG', 'its path is too long'],
  ['EFBIG', 'the file is too large for its file system'],
  ['EIO', 'its disk fails (EIO)'],
  ['ENODEV', 'its disk is gone (ENODEV)'],
  ['ENXIO', 'its disk is gone (ENXIO)'],
  ['ESTALE', 'its network file system is gone (ESTALE)'],
]);

/** System calls of connections: content that is written to a folder may come from one. */
const networkCalls: ReadonlySet<string> = new Set(['read', 'connect', 'getaddrinfo']);

/** The reason for a failed write, which completes "the folder cannot be written: "; undefined for other errors. */
export function writeRefusal(error: unknown): string | undefined {
  const code = errnoCode(error);
  if (code === undefined || exhaustions.has(code)) return undefined;
  return writeRefusals.get(code) ?? (isFileSystemError(error) ? `its file system fails (${code})` : undefined);
}

function isFileSystemError(error: unknown): boolean {
  if (!(error instanceof Error) || !('syscall' in error) || typeof error.syscall !== 'string') return false;
  return !networkCalls.has(error.syscall);
}

/** Returns whether a write failed because the disk or the quota of its user is full. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoCode(error) ?? '');
}

const diskFull =
  'The disk or the quota of its user is full. Free space where inputs, work files and outputs are stored, then try again.';
const tooManyFiles =
  'Too many files are open. Raise the limit of open files, or run fewer jobs at once, then try again.';

const exhaustions: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', diskFull],
  ['EDQUOT', diskFull],
  ['EMFILE', tooManyFiles],
  ['ENFILE', tooManyFiles],
  ['ENOMEM', 'The system is out of memory. Run fewer jobs at once, or add memory, then try again.'],
]);

/** Advice for a system error that means that a resource is exhausted; undefined for any other error. */
export function exhaustionAdvice(error: unknown): string | undefined {
  return exhaustions.get(errnoCode(error) ?? '');
}
