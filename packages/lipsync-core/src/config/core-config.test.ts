import { expect, it } from 'vitest';
import { configFromEnvironment } from './core-config.ts';

const secretOf = (bytes: number, fill = 0xff) => `whsec_${Buffer.alloc(bytes, fill).toString('base64')}`;
const read = (...secrets: string[]) =>
  configFromEnvironment({ LIPSYNC_WEBHOOK_SECRETS: secrets.join(',') }).webhookSecrets;

it('One webhook secret is accepted, and two while one replaces the other.', () => {
  expect(read()).toEqual([]);
  expect(read(secretOf(24), secretOf(64))).toEqual([secretOf(24), secretOf(64)]);
});

it.each([
  ['of 23 bytes', [secretOf(23)]],
  ['of 65 bytes', [secretOf(65)]],
  ['without its prefix', [secretOf(32).slice('whsec_'.length)]],
  ['without the padding of base64', [secretOf(32).replace('=', '')]],
  ['in the alphabet of URLs', [secretOf(32).replaceAll('/', '_')]],
  ['beside two others', [secretOf(24, 1), secretOf(24, 2), secretOf(24, 3)]],
])('A webhook secret %s is refused, and the message does not repeat it.', (_, secrets) => {
  expect(() => read(...secrets)).toThrow(/LIPSYNC_WEBHOOK_SECRETS: /);
  try {
    read(...secrets);
  } catch (error) {
    for (const secret of secrets) expect(String(error)).not.toContain(secret);
  }
});
