import { describe, expect, it } from 'vitest';
import { createHeygenCallbackUrl, heygenCallbackPath, verifyCallback } from './heygen-callback.ts';

const url = new URL(createHeygenCallbackUrl('https://lip.example/api', 'the key', 'job_a-2'));
const token = url.searchParams.get('token') ?? '';

describe('callback URL', () => {
  it('A callback URL contains the attempt and is deterministic.', () => {
    expect(url.origin + url.pathname).toBe(`https://lip.example/api${heygenCallbackPath}/job_a-2`);
    expect(createHeygenCallbackUrl('https://lip.example/api', 'the key', 'job_a-2')).toBe(url.href);
    expect(verifyCallback('the key', 'job_a-2', token)).toEqual({ jobId: 'job_a', index: 2 });
  });

  it('The token has 256 bits and does not contain the API key.', () => {
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
    expect(url.href).not.toContain('the key');
  });

  it.each([
    ['another attempt', 'the key', 'job_a-3', token],
    ['another job', 'the key', 'job_b-2', token],
    ['another key', 'a key', 'job_a-2', token],
    ['no token', 'the key', 'job_a-2', ''],
    ['half a token', 'the key', 'job_a-2', token.slice(0, 20)],
    ['a changed token', 'the key', 'job_a-2', `${token.slice(0, -2)}AA`],
    ['no attempt', 'the key', 'job_a', token],
  ])('A callback is rejected for %s.', (_what, apiKey, attemptName, given) => {
    expect(verifyCallback(apiKey, attemptName, given)).toBeUndefined();
  });
});
