import { getSystemErrorMap } from 'node:util';
import { describe, expect, it } from 'vitest';
import { LipsyncError, toLipsyncError } from './lipsync-error.ts';

/** An error as node:fs throws it. */
function systemError(code: string): Error {
  const [, text = ''] = [...getSystemErrorMap().values()].find(([name]) => name === code) ?? [];
  return Object.assign(new Error(`${code}: ${text}, write`), { code, syscall: 'write' });
}

describe('what was thrown becomes one of our errors', () => {
  it.each([
    ['ENOSPC', /disk is full.*Make room/],
    ['EDQUOT', /quota.*Make room/],
    ['EMFILE', /Too many files are open.*Raise the limit/],
    ['ENFILE', /Too many files are open.*Raise the limit/],
    ['ENOMEM', /no memory left.*fewer jobs/],
  ])('%s is resource_exhausted and says what to do', (code, advice) => {
    const thrown = systemError(code);
    const error = toLipsyncError(thrown);
    expect(error).toMatchObject({ code: 'resource_exhausted', details: { reason: code }, cause: thrown });
    expect(error.message).toMatch(advice);
  });

  it('goes by the code of a system error, never by its text', () => {
    expect(toLipsyncError(new Error('ENOSPC: no space left on device'))).toMatchObject({ code: 'internal' });
  });

  it('is internal where nothing is known about it', () => {
    for (const thrown of [systemError('EIO'), new TypeError('x is not a function'), 'text'])
      expect(toLipsyncError(thrown)).toMatchObject({ code: 'internal', cause: thrown });
  });

  it('stays what it is when it is ours already', () => {
    const ours = new LipsyncError('canceled', 'Enough.');
    expect(toLipsyncError(ours)).toBe(ours);
  });
});
