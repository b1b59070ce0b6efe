import { getSystemErrorMap } from 'node:util';
import { describe, expect, it } from 'vitest';
import { LipsyncError, ResourceExhaustedError, toLipsyncError, toStorageError } from './lipsync-error.ts';

/** An error as node:fs throws it. */
function systemError(code: string): Error {
  const [, text = ''] = [...getSystemErrorMap().values()].find(([name]) => name === code) ?? [];
  return Object.assign(new Error(`${code}: ${text}, write`), { code, syscall: 'write' });
}

describe('toLipsyncError', () => {
  it.each([
    ['ENOSPC', /disk .* full.*Free space/],
    ['EDQUOT', /quota.*Free space/],
    ['EMFILE', /Too many files are open.*Raise the limit/],
    ['ENFILE', /Too many files are open.*Raise the limit/],
    ['ENOMEM', /out of memory.*fewer jobs/],
  ])('The system error %s becomes resource_exhausted with advice.', (code, advice) => {
    const thrown = systemError(code);
    const error = toLipsyncError(thrown);
    expect(error).toBeInstanceOf(ResourceExhaustedError);
    expect(error).toMatchObject({ code: 'resource_exhausted', reason: code, cause: thrown });
    expect(error.message).toMatch(advice);
  });

  it('The code of a system error decides, never its text.', () => {
    expect(toLipsyncError(new Error('ENOSPC: no space left on device'))).toMatchObject({ code: 'internal' });
  });

  it('An unknown error becomes internal.', () => {
    for (const thrown of [systemError('EIO'), new TypeError('x is not a function'), 'text'])
      expect(toLipsyncError(thrown)).toMatchObject({ code: 'internal', cause: thrown });
  });

  it('A LipsyncError is returned unchanged.', () => {
    const ours = new LipsyncError('canceled', 'Enough.');
    expect(toLipsyncError(ours)).toBe(ours);
  });
});

describe('toStorageError', () => {
  const folder = { path: '/out', alternative: 'use another' };

  it.each(['EBUSY', 'ENOTCONN', 'EUCLEAN'])(
    'The system error %s of a write is a failure of the folder, although no text describes it.',
    (code) => {
      expect(toStorageError(systemError(code), folder)).toMatchObject({
        code: 'storage_unwritable',
        message: `The folder "/out" cannot be written: its file system fails (${code}). Make it writable, or use another.`,
      });
    },
  );

  it('The failure of a connection, or of this process, is no failure of the folder.', () => {
    const cut = Object.assign(systemError('ECONNRESET'), { syscall: 'read' });
    expect(toStorageError(cut, folder)).toBe(cut);
    expect(toStorageError(systemError('EMFILE'), folder)).toBeInstanceOf(ResourceExhaustedError);
  });
});
