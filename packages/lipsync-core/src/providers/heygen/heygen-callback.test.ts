import { describe, expect, it } from 'vitest';
import { attemptOfCallback, heygenCallbackPath, heygenCallbackUrl } from './heygen-callback.ts';

const url = new URL(heygenCallbackUrl('https://lip.example/api', 'the key', 'job_a-2'));
const token = url.searchParams.get('token') ?? '';

describe('the URL that HeyGen is to call', () => {
  it('names the attempt, and is the same each time', () => {
    expect(url.origin + url.pathname).toBe(`https://lip.example/api${heygenCallbackPath}/job_a-2`);
    expect(heygenCallbackUrl('https://lip.example/api', 'the key', 'job_a-2')).toBe(url.href);
    expect(attemptOfCallback('the key', 'job_a-2', token)).toEqual({ jobId: 'job_a', index: 2 });
  });

  it('holds 256 bits that do not tell the key', () => {
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
  ])('is nothing to go by for %s', (_what, apiKey, attemptName, given) => {
    expect(attemptOfCallback(apiKey, attemptName, given)).toBeUndefined();
  });
});
