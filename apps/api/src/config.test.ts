import { describe, expect, it } from 'vitest';
import { apiConfigFromEnvironment } from './config.ts';

const redis = { REDIS_URL: 'redis://127.0.0.1:6379' };

describe('settings of the API', () => {
  it('By default, the API listens on loopback without keys.', () => {
    expect(apiConfigFromEnvironment(redis)).toMatchObject({
      port: 3000,
      host: '127.0.0.1',
      keys: [],
      core: { publicBaseUrl: '' },
    });
  });

  it('A host other than loopback is refused without keys.', () => {
    expect(() => apiConfigFromEnvironment({ ...redis, HOST: '0.0.0.0' })).toThrow(/LIPSYNC_API_KEYS must be set/);
    expect(() => apiConfigFromEnvironment({ ...redis, HOST: '::' })).toThrow(/LIPSYNC_API_KEYS must be set/);
  });

  it('Any host is accepted with keys, of which those that end with ":admin" are admin keys.', () => {
    const { keys, host } = apiConfigFromEnvironment({
      ...redis,
      HOST: '0.0.0.0',
      LIPSYNC_API_KEYS: `alice:${'a'.repeat(16)}, bob:${'b'.repeat(15)}:c, ops:${'o'.repeat(16)}:admin, eve:${'e'.repeat(16)}:admin:x`,
    });
    expect(host).toBe('0.0.0.0');
    expect(keys).toEqual([
      { name: 'alice', secret: 'a'.repeat(16), isAdmin: false },
      { name: 'bob', secret: `${'b'.repeat(15)}:c`, isAdmin: false },
      { name: 'ops', secret: 'o'.repeat(16), isAdmin: true },
      { name: 'eve', secret: `${'e'.repeat(16)}:admin:x`, isAdmin: false },
    ]);
  });

  it.each([
    [{ PORT: 'http' }, /PORT: must be a non-negative integer/],
    [{ PORT: '65536' }, /PORT: must be at most 65535/],
    [{ PUBLIC_BASE_URL: 'example.org' }, /PUBLIC_BASE_URL: must be an http\(s\) URL/],
    [{ REDIS_URL: 'localhost' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ REDIS_URL: 'redis://:broken:url' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ REDIS_URL: '' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ LIPSYNC_API_KEYS: `alice:${'a'.repeat(16)},alice:${'b'.repeat(16)}` }, /must be unique/],
    [{ LIPSYNC_API_KEYS: `alice:${'a'.repeat(16)},bob:${'a'.repeat(16)}` }, /must be unique/],
    [
      { LIPSYNC_ALLOWED_PRIVATE_HOSTS: 'minio:9000,*.local' },
      /Invalid settings:\n {2}LIPSYNC_ALLOWED_PRIVATE_HOSTS[.1]*: "\*\.local" is not an allowed host/,
    ],
  ])('The settings %j are refused with the reason.', (environment, reason) => {
    expect(() => apiConfigFromEnvironment({ ...redis, ...environment })).toThrow(reason);
  });

  it.each([
    ['hunter2', /name:secret/],
    ['me:hunter2:admin', /at least 16/],
    ['me:hunter2', /at least 16 characters; "openssl rand -hex 16" makes one/],
    ['me:hunter2_hunter2', /at least 16/, 'me:hunter2_hunter2,you:hunter2'],
  ])('The error about the key %j states the fix and contains no secret.', (key, reason, keys = key) => {
    let message = '';
    try {
      apiConfigFromEnvironment({ ...redis, LIPSYNC_API_KEYS: keys });
    } catch (error) {
      message = String(error);
    }
    expect(message).toMatch(reason);
    expect(message).not.toContain('hunter2');
  });

  it('Trailing slashes of the public base URL are removed.', () => {
    expect(apiConfigFromEnvironment({ ...redis, PUBLIC_BASE_URL: 'https://example.org/lip/' }).core.publicBaseUrl).toBe(
      'https://example.org/lip',
    );
  });

  it('The configuration is frozen.', () => {
    expect(Object.isFrozen(apiConfigFromEnvironment(redis))).toBe(true);
  });
});
