import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noPrivateHosts, parseAllowedHosts } from './allowed-hosts.ts';
import { checkAddress, checkUrl } from './url-policy.ts';

const codeOf = (url: string): unknown => {
  try {
    checkUrl(url, noPrivateHosts);
    return 'passes';
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
};

describe('checkUrl', () => {
  it.each([
    'https://example.com/clip.mp4',
    'http://example.com:8080/a?b=c#d',
    'http://8.8.8.8/',
    'http://[2606:4700::1111]/',
    'HTTPS://EXAMPLE.COM',
  ])('The URL of a public host passes: %s', (url) => expect(codeOf(url)).toBe('passes'));

  it.each([
    '',
    'clip.mp4',
    '/etc/passwd',
    '//example.com/x',
    'http://',
    'http://a b/',
    'http://[fe80::1%25eth0]/',
    `https://example.com/${'x'.repeat(9_000)}`,
  ])('Text that is not a URL is invalid: %s', (url) => expect(codeOf(url)).toBe('request_invalid'));

  it.each([
    'file:///etc/passwd',
    'ftp://example.com/x',
    'data:video/mp4;base64,AAAA',
    'javascript:1',
    'concat:a|b',
    'gopher://example.com/',
  ])('A URL with a scheme other than http and https is refused: %s', (url) =>
    expect(codeOf(url)).toBe('url_forbidden'),
  );

  it.each(['http://user@example.com/', 'http://user:secret@example.com/', 'http://:secret@example.com/'])(
    'A URL with credentials is refused: %s',
    (url) => expect(codeOf(url)).toBe('url_forbidden'),
  );

  it.each([
    'http://localhost/',
    'http://LocalHost./',
    'http://a.localhost/',
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.0.0.1/',
    'http://0177.0.0.1/',
    'http://0x7f000001/',
    'http://１２７.０.０.１/',
    'http://127.0.0.1./',
    'http://0/',
    'http://0.0.0.0/',
    'http://10.0.0.1/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/latest',
    'http://100.64.0.1/',
    'http://100.100.100.200/',
    'http://192.0.0.192/',
    'http://198.18.0.1/',
    'http://224.0.0.1/',
    'http://240.0.0.1/',
    'http://255.255.255.255/',
    'http://168.63.129.16/',
    'http://[::]/',
    'http://[::1]/',
    'http://[::127.0.0.1]/',
    'http://[::ffff:10.0.0.1]/',
    'http://[64:ff9b::10.0.0.1]/',
    'http://[64:ff9b:1::1]/',
    'http://[2002:7f00:1::]/',
    'http://[2001::1]/',
    'http://[2001:db8::1]/',
    'http://[fe80::1]/',
    'http://[fec0::1]/',
    'http://[fd00:ec2::254]/',
    'http://[ff02::1]/',
    'http://[100::1]/',
  ])('A private or reserved address is refused in every spelling: %s', (url) =>
    expect(codeOf(url)).toBe('url_forbidden'),
  );
});

describe('checkAddress', () => {
  it('A private IPv4 address is also refused when it is embedded in IPv6.', () => {
    const last = fc.nat(255);
    fc.assert(
      fc.property(fc.constantFrom('10', '127', '0'), last, last, last, (first, second, third, fourth) => {
        const address = `${first}.${second}.${third}.${fourth}`;
        for (const text of [address, `::ffff:${address}`, `64:ff9b::${address}`, `::${address}`]) {
          expect(() => checkAddress(text, 443, noPrivateHosts)).toThrow(
            expect.objectContaining({ code: 'url_forbidden' }),
          );
        }
      }),
    );
  });

  it('An IPv6 address outside the global unicast block is refused.', () => {
    const group = fc.nat(0xffff).map((value) => value.toString(16));
    fc.assert(
      fc.property(
        fc.integer({ min: 0x4000, max: 0xffff }),
        fc.array(group, { minLength: 7, maxLength: 7 }),
        (first, rest) => {
          expect(() => checkAddress([first.toString(16), ...rest].join(':'), 443, noPrivateHosts)).toThrow();
        },
      ),
    );
  });

  it.each(['', 'example.com', '1.2.3', 'fe80::1%eth0'])('Text that is not an address is refused: %j', (text) => {
    expect(() => checkAddress(text, 443, noPrivateHosts)).toThrow(expect.objectContaining({ code: 'url_forbidden' }));
  });
});

describe('parseAllowedHosts', () => {
  it.each([
    ['127.0.0.1', 'http://127.0.0.1:8080/x'],
    ['127.0.0.1', 'http://[::ffff:127.0.0.1]/x'],
    ['10.0.0.0/8', 'http://10.255.0.1/x'],
    ['::1', 'http://[::1]/x'],
    ['[::1]', 'http://[::1]/x'],
    ['fd00::/8', 'http://[fd12::1]/x'],
    ['localhost', 'http://LOCALHOST./x'],
    ['MinIO.internal', 'http://minio.internal/x'],
    ['minio.internal', 'http://minio.internal:9000/x'],
    ['minio.internal:9000', 'http://minio.internal:9000/x'],
    ['127.0.0.1:80', 'http://127.0.0.1/x'],
    ['localhost:443', 'https://localhost/x'],
    ['10.0.0.0/8:9000', 'http://10.1.2.3:9000/x'],
    ['[::1]:9000', 'http://[::1]:9000/x'],
    ['[fd00::/8]:9000', 'http://[fd12::1]:9000/x'],
    ['[fd00::/8]', 'http://[fd12::1]:9000/x'],
  ])('The entry %s allows %s.', (entry, url) => {
    expect(() => checkUrl(url, parseAllowedHosts([entry]))).not.toThrow();
  });

  it.each([
    ['127.0.0.1', 'http://127.0.0.2/x'],
    ['10.0.0.0/24', 'http://10.0.1.1/x'],
    ['localhost', 'http://127.0.0.1/x'],
    ['minio.internal', 'http://localhost/x'],
    ['localhost', 'http://evil.localhost/x'],
    ['localhost:9000', 'http://localhost:9001/x'],
    ['localhost:9000', 'http://localhost/x'],
    ['localhost:80', 'https://localhost/x'],
    ['127.0.0.1:9000', 'http://127.0.0.1:6379/x'],
    ['10.0.0.0/8:9000', 'http://10.1.2.3:9001/x'],
    ['[::1]:9000', 'http://[::1]:9001/x'],
    ['[fd00::/8]:9000', 'http://[fd12::1]/x'],
  ])('The entry %s does not allow %s.', (entry, url) => {
    expect(() => checkUrl(url, parseAllowedHosts([entry]))).toThrow(expect.objectContaining({ code: 'url_forbidden' }));
  });

  it.each([
    '',
    ' ',
    'http://minio',
    'minio:',
    'minio:0',
    'minio:65536',
    'minio:http',
    '[minio]:9000',
    ':9000',
    '10.0.0.0/8:',
    '10.0.0:9000',
    '[::1]9000',
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
  ])('The invalid entry %j is refused and named in the error.', (entry) => {
    expect(() => parseAllowedHosts(['fine.example', entry])).toThrow(
      expect.objectContaining({ code: 'request_invalid', message: expect.stringContaining(`"${entry}"`) }),
    );
  });
});
