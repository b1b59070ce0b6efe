import { describe, expect, it } from 'vitest';
import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import { againOnce } from './again-once.ts';

/** A step that fails with the given codes in turn, then answers how often it was tried. */
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

describe('a step outside of the providers', () => {
  it('is tried again after a media fault', async () => {
    expect(await againOnce(never, failingWith('media_failed').step)).toBe(2);
  });

  it('is tried again once only', async () => {
    const { step, tries } = failingWith('media_failed', 'media_failed');
    await expect(againOnce(never, step)).rejects.toMatchObject({ code: 'media_failed' });
    expect(tries()).toBe(2);
  });

  it.each<[string, ErrorCode, AbortSignal]>([
    ['after any other fault', 'clip_unusable', never],
    ['when the job is to stop', 'media_failed', AbortSignal.abort()],
  ])('is not tried again %s', async (_, code, signal) => {
    const { step, tries } = failingWith(code);
    await expect(againOnce(signal, step)).rejects.toMatchObject({ code });
    expect(tries()).toBe(1);
  });
});
