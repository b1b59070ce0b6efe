import { describe, expect, it } from 'vitest';
import { apiConfigFromEnvironment } from './config.ts';

const redis = { REDIS_URL: 'redis://127.0.0.1:6379' };

describe('the settings of the API', () => {
  it('have defaults that only this machine can reach', () => {
    expect(apiConfigFromEnvironment(redis)).toMatchObject({
      port: 3000,
      host: '127.0.0.1',
      keys: [],
      core: { publicBaseUrl: '' },
    });
  });

  it('refuse a host that others can reach while no keys are set', () => {
    expect(() => apiConfigFromEnvironment({ ...redis, HOST: '0.0.0.0' })).toThrow(/LIPSYNC_API_KEYS must be set/);
    expect(() => apiConfigFromEnvironment({ ...redis, HOST: '::' })).toThrow(/LIPSYNC_API_KEYS must be set/);
  });

  it('take any host together with keys', () => {
    const { keys, host } = apiConfigFromEnvironment({
      ...redis,
      HOST: '0.0.0.0',
      LIPSYNC_API_KEYS: 'alice:one, bob:two:three',
    });
    expect(host).toBe('0.0.0.0');
    expect(keys).toEqual([
      { name: 'alice', secret: 'one' },
      { name: 'bob', secret: 'two:three' },
    ]);
  });

  it.each([
    [{ PORT: 'http' }, /PORT: must be a non-negative integer/],
    [{ PORT: '65536' }, /PORT: must be at most 65535/],
    [{ PUBLIC_BASE_URL: 'example.org' }, /PUBLIC_BASE_URL: must be an http\(s\) URL/],
    [{ REDIS_URL: 'localhost' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ REDIS_URL: 'redis://:broken:url' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ REDIS_URL: '' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ LIPSYNC_API_KEYS: 'alice:one,alice:two' }, /must be unique/],
    [{ LIPSYNC_API_KEYS: 'alice:one,bob:one' }, /must be unique/],
  ])('refuse %j with the reason', (environment, reason) => {
    expect(() => apiConfigFromEnvironment({ ...redis, ...environment })).toThrow(reason);
  });

  it('never repeat what may be a secret', () => {
    let message = '';
    try {
      apiConfigFromEnvironment({ ...redis, LIPSYNC_API_KEYS: 'hunter2' });
    } catch (error) {
      message = String(error);
    }
    expect(message).toMatch(/name:secret/);
    expect(message).not.toContain('hunter2');
  });

  it('drop slashes at the end of the public address', () => {
    expect(apiConfigFromEnvironment({ ...redis, PUBLIC_BASE_URL: 'https://example.org/lip/' }).core.publicBaseUrl).toBe(
      'https://example.org/lip',
    );
  });

  it('are frozen', () => {
    expect(Object.isFrozen(apiConfigFromEnvironment(redis))).toBe(true);
  });
});
