import { describe, expect, it } from 'vitest';
import { contended, untilUncontended } from './contention.ts';

describe('contention', () => {
  it('is tried through, and the first result counts', async () => {
    let tries = 0;
    expect(
      await untilUncontended({ maxTries: 5, maxPauseMs: 1 }, async () => ((tries += 1) < 5 ? contended : tries)),
    ).toBe(5);
  });

  it('is given up after the last try', async () => {
    let tries = 0;
    const result = untilUncontended({ maxTries: 5, maxPauseMs: 1 }, async () => {
      tries += 1;
      return contended;
    });
    await expect(result).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(tries).toBe(5);
  });

  it('does not hide an error', async () => {
    const error = new Error('broken');
    await expect(untilUncontended({ maxTries: 5, maxPauseMs: 1 }, async () => Promise.reject(error))).rejects.toBe(
      error,
    );
  });
});
