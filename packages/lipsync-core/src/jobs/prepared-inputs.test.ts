import { describe, expect, it } from 'vitest';
import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import { retryMediaStep } from './prepared-inputs.ts';

/** Returns a step that fails with the given codes in turn, then returns the number of tries. */
function failingWith(...codes: readonly ErrorCode[]) {
  let tries = 0;
  const step = async (): Promise<number> => {
    const code = codes[tries++];
    if (code) throw new LipsyncError(code, 'scripted');
    return tries;
  };
  return { step, tries: () => tries };
}

const never = new AbortController().signal;

describe('retryMediaStep', () => {
  it('A media step is repeated after media_failed.', async () => {
    expect(await retryMediaStep(never, failingWith('media_failed').step)).toBe(2);
  });

  it('A media step is repeated only once.', async () => {
    const { step, tries } = failingWith('media_failed', 'media_failed');
    await expect(retryMediaStep(never, step)).rejects.toMatchObject({ code: 'media_failed' });
    expect(tries()).toBe(2);
  });

  it.each<[string, ErrorCode, AbortSignal]>([
    ['after any other error', 'clip_unusable', never],
    ['when the job is aborted', 'media_failed', AbortSignal.abort()],
  ])('A media step is not repeated %s.', async (_, code, signal) => {
    const { step, tries } = failingWith(code);
    await expect(retryMediaStep(signal, step)).rejects.toMatchObject({ code });
    expect(tries()).toBe(1);
  });
});
