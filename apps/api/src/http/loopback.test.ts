import { describe, expect, it } from 'vitest';
import { hostOf, isLoopbackHost } from './loopback.ts';

describe('loopback hosts', () => {
  it.each(['localhost', 'LOCALHOST', 'lipsync.localhost', '127.0.0.1', '127.8.9.10', '::1', '[::1]'])(
    'The host %s is loopback.',
    (host) => {
      expect(isLoopbackHost(host)).toBe(true);
    },
  );

  it.each([
    '',
    'example.org',
    '127.0.0.1.example.org',
    'localhost.example.org',
    'notlocalhost',
    '0.0.0.0',
    '10.0.0.1',
    '::',
    '128.0.0.1',
  ])('The host %j is not loopback.', (host) => {
    expect(isLoopbackHost(host)).toBe(false);
  });

  it.each([
    ['localhost:3000', 'localhost'],
    ['[::1]:3000', '[::1]'],
    ['127.1', '127.0.0.1'],
    ['', undefined],
    ['a b', undefined],
  ])('The Host header %j has the host %j.', (header, host) => {
    expect(hostOf(header)).toBe(host);
  });

  it('A user name before the host does not change the host.', () => {
    expect(hostOf('localhost@example.org')).toBe('example.org');
  });
});
