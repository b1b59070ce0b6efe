import { expect, it } from 'vitest';
import { parseRedisUrl, redisAddressOf } from './redis-url.ts';

it('The parameters of sentinels are taken out of the URL, and others stay for the client.', () => {
  expect(
    parseRedisUrl('rediss://app:pw@any/2?sentinels=a:1,b&sentinel_name=main&sentinel_password=s&family=6'),
  ).toEqual({
    url: 'rediss://app:pw@any/2?family=6',
    options: {
      sentinels: [
        { host: 'a', port: 1 },
        { host: 'b', port: 26_379 },
      ],
      name: 'main',
      sentinelPassword: 's',
      enableTLSForSentinelMode: true,
      sentinelTLS: {},
    },
  });
});

it.each([
  ['redis://host?ca_file=/ca.pem', /ca_file is for rediss/],
  ['rediss://host?ca_file=/missing/ca.pem', /ca_file \/missing\/ca.pem cannot be read/],
  [`rediss://host?ca_file=${import.meta.filename}`, /ca_file .* is not a certificate in PEM format/],
  ['redis://host?sentinels=a:1', /both sentinels and sentinel_name/],
  ['redis://host?sentinel_name=main', /both sentinels and sentinel_name/],
  ['redis://host?sentinels=a:b&sentinel_name=main', /"a:b" is not/],
])('The URL %s is refused with the reason.', (url, reason) => {
  expect(() => parseRedisUrl(url)).toThrow(reason);
});

it('The address of a Redis for the log has no password.', () => {
  expect(redisAddressOf('redis://u:secret@host')).toBe('host:6379');
  expect(redisAddressOf('redis://u:secret@host:1/3')).toBe('host:1/3');
  expect(redisAddressOf('redis://u:secret@x?sentinels=a:1,b&sentinel_name=main&sentinel_password=secret')).toBe(
    'main (sentinels a:1,b)',
  );
});
