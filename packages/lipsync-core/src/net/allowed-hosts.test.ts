import { describe, expect, it } from 'vitest';
import { parseAllowedHosts } from './allowed-hosts.ts';
import { checkUrl } from './check-url.ts';

describe('allowed private hosts', () => {
  it.each([
    ['127.0.0.1', 'http://127.0.0.1:8080/x'],
    ['127.0.0.1', 'http://[::ffff:127.0.0.1]/x'],
    ['10.0.0.0/8', 'http://10.255.0.1/x'],
    ['::1', 'http://[::1]/x'],
    ['[::1]', 'http://[::1]/x'],
    ['fd00::/8', 'http://[fd12::1]/x'],
    ['localhost', 'http://LOCALHOST./x'],
    ['MinIO.internal', 'http://minio.internal/x'],
  ])('%s lets %s pass', (entry, url) => {
    expect(checkUrl(url, parseAllowedHosts([entry])).href).toContain('http://');
  });

  it.each([
    ['127.0.0.1', 'http://127.0.0.2/x'],
    ['10.0.0.0/24', 'http://10.0.1.1/x'],
    ['localhost', 'http://127.0.0.1/x'],
    ['minio.internal', 'http://localhost/x'],
    ['localhost', 'http://evil.localhost/x'],
  ])('%s does not let %s pass', (entry, url) => {
    expect(() => checkUrl(url, parseAllowedHosts([entry]))).toThrow(expect.objectContaining({ code: 'url_forbidden' }));
  });

  it.each([
    '',
    ' ',
    'http://minio',
    'minio:9000',
    '*.internal',
    '10.0.0.0/33',
    '10.0.0',
    '10.0.0/24',
    '0177.0.0.1',
    '999.1.1.1',
    'a b',
    '-a.b',
    'a..b',
    '[::1',
  ])('refuses the entry %j and names it', (entry) => {
    expect(() => parseAllowedHosts(['fine.example', entry])).toThrow(
      expect.objectContaining({ code: 'request_invalid', message: expect.stringContaining(`"${entry}"`) }),
    );
  });
});
