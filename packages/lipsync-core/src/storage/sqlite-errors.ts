import { LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';

/** Primary result codes, as https://sqlite.org/rescode.html lists them; the low byte of an extended code. */
const busy = 5;
const locked = 6;
const ioError = 10;
const corrupt = 11;
const full = 13;
const notADatabase = 26;

const damaged =
  'The state file in the data folder is damaged. Stop everything that uses the folder, move the file aside, and start again.';
const advice: ReadonlyMap<number, { readonly code: 'resource_exhausted' | 'internal'; readonly message: string }> =
  new Map([
    [
      full,
      { code: 'resource_exhausted', message: 'The disk of the data folder is full. Make room there, then try again.' },
    ],
    [
      ioError,
      {
        code: 'resource_exhausted',
        message: 'The state file in the data folder could not be read or written. Check the disk, then try again.',
      },
    ],
    [corrupt, { code: 'internal', message: damaged }],
    [notADatabase, { code: 'internal', message: damaged }],
  ]);

/** Whether another process holds the lock that the step needed. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === busy || code === locked;
}

export function isSqliteError(error: unknown): boolean {
  return resultCode(error) !== undefined;
}

/** What a failed step means to the caller. */
export function toSqliteError(error: unknown): LipsyncError {
  const known = advice.get(resultCode(error) ?? 0);
  if (known) return new LipsyncError(known.code, known.message, { cause: error });
  return new LipsyncError(
    'internal',
    'The state file in the data folder cannot be used. Check that it may be read and written.',
    { cause: error },
  );
}

function resultCode(error: unknown): number | undefined {
  if (errnoCode(error) !== 'ERR_SQLITE_ERROR') return undefined;
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}
