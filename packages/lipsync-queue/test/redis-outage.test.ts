import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { LipsyncError } from '@lipsync/core/host';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import type { Redis } from 'ioredis';
import { createClientConnection, guardRedis } from '../src/connection.ts';
import { isRedisOutage, outageOfClient, toRedisError, type RedisOutageKind } from '../src/redis-outage.ts';

let redis: TestRedis;
let admin: Redis;
beforeAll(async () => {
  redis = await startTestRedis();
  admin = createClientConnection({ url: redis.url, onError: () => undefined });
});
afterAll(async () => {
  admin.disconnect();
  await redis.stop();
});

/** Runs `command` on a new connection and returns the error that the stores would throw. */
async function failureOf(command: (client: Redis) => Promise<unknown>, url = redis.url): Promise<unknown> {
  const client = createClientConnection({ url, onError: () => undefined });
  onTestFinished(() => client.disconnect());
  return guardRedis(() => command(client)).then(
    () => 'no error',
    (error: unknown) => error,
  );
}

const write = (client: Redis): Promise<unknown> => client.set('key', 'value');
const writeInScript = (client: Redis): Promise<unknown> =>
  client.eval("return redis.call('set', KEYS[1], 'value')", 1, 'key');

describe('Errors of a real Redis', () => {
  it.each([
    ['a command', write],
    ['a script', writeInScript],
  ])('A Redis without memory is named as the reason why %s fails.', async (_name, command) => {
    await admin.config('SET', 'maxmemory', '1');
    onTestFinished(async () => void (await admin.config('SET', 'maxmemory', '0')));
    expect(await failureOf(command)).toMatchObject({
      code: 'resource_exhausted',
      kind: 'out_of_memory',
      message: expect.stringMatching(/^Redis is out of memory.*maxmemory/),
    });
  });

  it.each([
    ['a command', write],
    ['a script', writeInScript],
  ])('A Redis that became a replica is named as the reason why %s fails.', async (_name, command) => {
    await admin.replicaof('127.0.0.1', '1');
    onTestFinished(async () => void (await admin.replicaof('NO', 'ONE')));
    expect(await failureOf(command)).toMatchObject({ code: 'resource_exhausted', kind: 'read_only' });
  });

  it('A wrong password and a missing password are named as such.', async () => {
    await admin.config('SET', 'requirepass', 'secret');
    onTestFinished(async () => void (await admin.config('SET', 'requirepass', '')));
    const withPassword = redis.url.replace('//', '//:wrong@');
    for (const url of [redis.url, withPassword]) {
      const error = await failureOf(write, url);
      expect(error).toMatchObject({ code: 'resource_exhausted', kind: 'access_denied' });
      expect(String(error)).not.toContain('wrong');
    }
  });

  it('A user without the permission to write is named as such.', async () => {
    await admin.acl('SETUSER', 'reader', 'on', 'nopass', '~*', '+@read', '+hello', '+info', '+client');
    const url = redis.url.replace('//', '//reader:any@');
    expect(await failureOf(write, url)).toMatchObject({ code: 'resource_exhausted', kind: 'access_denied' });
  });

  it('An address without a Redis is unreachable.', async () => {
    expect(await failureOf(write, 'redis://127.0.0.1:1')).toMatchObject({
      code: 'resource_exhausted',
      kind: 'unreachable',
    });
  });

  it('A command that is wrong stays an internal error.', async () => {
    expect(await failureOf((client) => client.call('NOSUCH'))).toMatchObject({ code: 'internal' });
  });
});

describe('Replies that a test cannot provoke', () => {
  it.each<[string, RedisOutageKind]>([
    [
      'MISCONF Errors writing to the AOF file: No space left on device script: d96c, on @user_script:217.',
      'disk_error',
    ],
    ['ERR max number of clients reached', 'too_many_clients'],
    ['LOADING Redis is loading the dataset in memory', 'not_ready'],
    [
      "ERR Error running script (call to f_1): @user_script:5: @user_script: 5: -OOM command not allowed when used memory > 'maxmemory'.",
      'out_of_memory',
    ],
  ])('The reply "%s" is an outage.', async (reply, kind) => {
    // The class of a reply error comes from a reply; only its text is replaced.
    const error = await admin.call('NOSUCH').catch((thrown: unknown) => thrown);
    if (!(error instanceof Error)) throw new TypeError('Redis accepted an unknown command.');
    error.message = reply;
    expect(toRedisError(error)).toMatchObject({ code: 'resource_exhausted', kind });
    expect(outageOfClient(error)).toBe(kind);
  });

  it.each([
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ])('A certificate that fails the verification with %s is not reported as an unreachable Redis.', (code) => {
    expect(outageOfClient(Object.assign(new Error('the certificate is not accepted'), { code }))).toBe('untrusted');
  });

  it('An outage is recognized behind the errors that wrap it, and a refused connection to another service is not one.', () => {
    const outage = toRedisError(new Error('Connection is closed.'));
    expect(isRedisOutage(new Error('a store failed', { cause: outage }))).toBe(true);
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' });
    expect(isRedisOutage(new LipsyncError('provider_unavailable', 'unreachable', { cause: refused }))).toBe(false);
  });
});
