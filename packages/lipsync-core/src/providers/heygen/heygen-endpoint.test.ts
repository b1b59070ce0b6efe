import { describe, expect, it } from 'vitest';
import { parseHeygenEndpoint } from './heygen-endpoint.ts';

describe('the address of the API', () => {
  it.each([
    ['https://api.heygen.com', 'https://api.heygen.com'],
    ['https://api.heygen.com/', 'https://api.heygen.com'],
    [' https://gateway.example:8443/heygen// ', 'https://gateway.example:8443/heygen'],
    ['http://127.0.0.1:4010', 'http://127.0.0.1:4010'],
  ])('is taken without a word: %s', (text, url) => {
    expect(parseHeygenEndpoint(text)).toEqual({ url, warnings: [] });
  });

  it.each([
    ['https://api.heygen.com/v1', 'https://api.heygen.com'],
    ['https://api.heygen.com/v1/', 'https://api.heygen.com'],
    ['https://api.heygen.com/v3', 'https://api.heygen.com'],
    ['https://gateway.example/heygen/v2', 'https://gateway.example/heygen'],
  ])('loses its version, with a warning: %s', (text, url) => {
    const parsed = parseHeygenEndpoint(text);
    expect(parsed.url).toBe(url);
    expect(parsed.warnings).toEqual([expect.stringContaining(`${url}/v3`)]);
  });

  it('is warned of when the key would travel unencrypted', () => {
    expect(parseHeygenEndpoint('http://gateway.example').warnings).toEqual([expect.stringContaining('unencrypted')]);
  });

  it.each([
    '',
    'api.heygen.com',
    'ftp://api.heygen.com',
    'https://user:secret@api.heygen.com',
    'https://api.heygen.com/?a=b',
    'https://api.heygen.com/#x',
  ])('is refused: %j', (text) => {
    expect(() => parseHeygenEndpoint(text)).toThrow(
      expect.objectContaining({ code: 'request_invalid', message: expect.stringContaining('HEYGEN_API_ENDPOINT') }),
    );
  });
});
