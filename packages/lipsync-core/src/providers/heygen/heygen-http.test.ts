import { describe, expect, it } from 'vitest';
import { parseHeygenEndpoint, parseRetryAfterMs } from './heygen-http.ts';

describe('parseHeygenEndpoint', () => {
  it.each([
    ['https://api.heygen.com', 'https://api.heygen.com'],
    ['https://api.heygen.com/', 'https://api.heygen.com'],
    [' https://gateway.example:8443/heygen// ', 'https://gateway.example:8443/heygen'],
    ['http://127.0.0.1:4010', 'http://127.0.0.1:4010'],
  ])('A plain endpoint is accepted without a warning: %s', (text, url) => {
    expect(parseHeygenEndpoint(text)).toEqual({ url, warnings: [] });
  });

  it.each([
    ['https://api.heygen.com/v1', 'https://api.heygen.com'],
    ['https://api.heygen.com/v1/', 'https://api.heygen.com'],
    ['https://api.heygen.com/v3', 'https://api.heygen.com'],
    ['https://gateway.example/heygen/v2', 'https://gateway.example/heygen'],
  ])('A version is removed from the endpoint with a warning: %s', (text, url) => {
    const parsed = parseHeygenEndpoint(text);
    expect(parsed.url).toBe(url);
    expect(parsed.warnings).toEqual([expect.stringContaining(`${url}/v3`)]);
  });

  it('An endpoint without encryption causes a warning.', () => {
    expect(parseHeygenEndpoint('http://gateway.example').warnings).toEqual([expect.stringContaining('unencrypted')]);
  });

  it.each([
    '',
    'api.heygen.com',
    'ftp://api.heygen.com',
    'https://user:secret@api.heygen.com',
    'https://api.heygen.com/?a=b',
    'https://api.heygen.com/#x',
  ])('An invalid endpoint is refused: %j', (text) => {
    expect(() => parseHeygenEndpoint(text)).toThrow(
      expect.objectContaining({ code: 'request_invalid', message: expect.stringContaining('HEYGEN_API_ENDPOINT') }),
    );
  });
});

describe('parseRetryAfterMs', () => {
  const nowMs = Date.parse('2026-11-20T10:00:00Z');
  it.each([
    ['2', 2_000],
    [' 0.5 ', 500],
    ['Fri, 20 Nov 2026 10:00:07 GMT', 7_000],
    ['Fri, 20 Nov 2026 09:00:00 GMT', 0],
    ['86400', 3_600_000],
    ['soon', null],
    ['-3', null],
    ['GMT', null],
    [undefined, null],
    ['', null],
  ])('The Retry-After header %j is parsed to %j ms.', (header, waitMs) => {
    expect(parseRetryAfterMs(header, nowMs)).toBe(waitMs);
  });
});
