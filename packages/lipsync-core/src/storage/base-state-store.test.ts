import { describe, expect, it } from 'vitest';
import { contended, retryContended } from './base-state-store.ts';

const limits = { maxTries: 5, maxPauseMs: 1 };

describe('retryContended', () => {
  it('A contended step is retried, and its first result is returned.', async () => {
    let tries = 0;
    expect(await retryContended(limits, async () => ((tries += 1) < 5 ? contended : tries))).toBe(5);
  });

  it('A step that stays contended fails with resource_exhausted after the last try.', async () => {
    let tries = 0;
    const result = retryContended(limits, async () => {
      tries += 1;
      return contended;
    });
    await expect(result).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(tries).toBe(5);
  });

  it('The error of a step is rethrown without a retry.', async () => {
    const error = new Error('broken');
    await expect(retryContended(limits, async () => Promise.reject(error))).rejects.toBe(error);
  });
});
