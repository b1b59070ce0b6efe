import { describe, expect, it } from 'vitest';
import { toError, toFailure } from './carried-failure.ts';
import {
  BudgetExceededError,
  InputNotFoundError,
  LipsyncError,
  ProviderError,
  ResourceExhaustedError,
  StorageError,
  TimeoutError,
} from './lipsync-error.ts';

/** As a message between processes or threads copies it. */
function carry(thrown: unknown): LipsyncError {
  return toError(structuredClone(toFailure(thrown)));
}

describe('carried failure', () => {
  it('An error keeps its code, message and details across a process boundary.', () => {
    const error = carry(new LipsyncError('media_failed', 'The tool failed.', { details: { exitCode: 1 } }));
    expect(LipsyncError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code: 'media_failed', message: 'The tool failed.', details: { exitCode: 1 } });
  });

  it.each([
    new ProviderError('rate_limited', 'Slow down.', {
      provider: 'heygen',
      retryAfterMs: 7_000,
      requestOutcome: 'refused',
      httpStatus: 429,
    }),
    new BudgetExceededError('daily', 'Too expensive.'),
    new ResourceExhaustedError('ENOSPC', 'The disk is full.'),
    new StorageError('storage_unwritable', '/out', 'The folder cannot be written.', new Error('EROFS')),
    new InputNotFoundError('There is no such clip.'),
    new TimeoutError('provider_timeout', 'Too late.'),
  ])('$name keeps its class and typed fields across a process boundary.', (error) => {
    const carried = carry(error);
    expect(carried).toBeInstanceOf(error.constructor);
    const { name, code, details, ...fields } = { ...error };
    expect(carried).toMatchObject({ name, code, details, ...fields });
    expect(carried.message).toBe(error.message);
  });

  it('A carried error has the stack of its cause, or its own stack when it has no cause.', () => {
    const origin = new TypeError('no such thing');
    expect(carry(new LipsyncError('internal', 'It failed.', { cause: origin })).cause).toMatchObject({
      stack: origin.stack,
    });
    const alone = new LipsyncError('canceled', 'Enough.');
    expect(carry(alone).cause).toMatchObject({ stack: alone.stack });
  });

  it('Anything else that is thrown becomes a LipsyncError.', () => {
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    const carried = carry(full);
    expect(carried).toBeInstanceOf(ResourceExhaustedError);
    expect(carried).toMatchObject({ code: 'resource_exhausted', reason: 'ENOSPC', cause: { stack: full.stack } });
    expect(carry('text')).toMatchObject({ code: 'internal' });
  });
});
