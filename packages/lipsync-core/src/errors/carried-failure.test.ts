import { describe, expect, it } from 'vitest';
import { toError, toFailure } from './carried-failure.ts';
import { LipsyncError } from './lipsync-error.ts';

/** As a message between processes or threads does it. */
function carried(thrown: unknown): LipsyncError {
  return toError(structuredClone(toFailure(thrown)));
}

describe('a failure that crosses to another process or thread', () => {
  it('is the same error with the same details on the other side', () => {
    const error = carried(new LipsyncError('media_failed', 'The tool failed.', { details: { exitCode: 1 } }));
    expect(LipsyncError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code: 'media_failed', message: 'The tool failed.', details: { exitCode: 1 } });
  });

  it('has the stack of what was behind it, else its own', () => {
    const origin = new TypeError('no such thing');
    expect(carried(new LipsyncError('internal', 'It failed.', { cause: origin })).cause).toMatchObject({
      stack: origin.stack,
    });
    const alone = new LipsyncError('canceled', 'Enough.');
    expect(carried(alone).cause).toMatchObject({ stack: alone.stack });
  });

  it('becomes one of ours where anything else was thrown', () => {
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    expect(carried(full)).toMatchObject({
      code: 'resource_exhausted',
      details: { reason: 'ENOSPC' },
      cause: { stack: full.stack },
    });
    expect(carried('text')).toMatchObject({ code: 'internal' });
  });
});
