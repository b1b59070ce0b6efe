import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@lipsync/core/host';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { RedisConnections, storeIdKey } from '../src/index.ts';

interface Line {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

let redis: TestRedis;
beforeAll(async () => {
  redis = await startTestRedis();
});
afterAll(() => redis.stop());
afterEach(async () => {
  const connections = open('any').connections;
  await connections.commands.flushall();
});

/** Connections of a process whose artifact store has the given id, and the lines that they log. */
function open(
  storeId: string,
  url = redis.url,
): { readonly connections: RedisConnections; readonly lines: readonly Line[] } {
  const lines: Line[] = [];
  const write =
    (level: string): Logger['info'] =>
    (fields, message) =>
      void lines.push({ level, fields, message });
  const logger: Logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const connections = new RedisConnections({ url, artifacts: { id: async () => storeId }, logger });
  onTestFinished(() => connections.disconnect());
  return { connections, lines };
}

describe('The artifact store of a Redis', () => {
  it('A service with other folders is refused with the settings to change, and one with the same folders is accepted.', async () => {
    await open('store-a').connections.verify();
    await open('store-a').connections.open(1_000);
    const other = open('store-b').connections;
    await expect(other.open(1_000)).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringMatching(
        /^REDIS_URL, LIPSYNC_DATA_DIR, LIPSYNC_OUTPUT_DIR: .*127\.0\.0\.1:\d+.*database number.*lipsync:store/,
      ),
    });
    await expect(other.verify()).rejects.toMatchObject({ code: 'request_invalid' });
  });

  it('Two services that start at once on a new Redis do not both get it.', async () => {
    const started = await Promise.allSettled(
      Array.from({ length: 10 }, (_item, index) => open(`store-${index % 2}`).connections.verify()),
    );
    expect(started.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
  });

  it('Another database number of the same Redis serves another store.', async () => {
    await open('store-a').connections.verify();
    await expect(open('store-b', `${redis.url}/1`).connections.verify()).resolves.toBeUndefined();
  });

  it('An emptied Redis, and one of a version without store ids, is adopted by the first service.', async () => {
    const { connections } = open('store-a');
    await connections.verify();
    await connections.commands.flushall();
    await open('store-b').connections.verify();
    expect(await connections.commands.get(storeIdKey)).toBe('store-b');
  });

  it('A running service whose Redis another service has adopted must not continue.', async () => {
    const { connections } = open('store-a');
    await connections.verify();
    await connections.commands.set(storeIdKey, 'store-b');
    await expect(connections.check()).rejects.toMatchObject({ code: 'request_invalid' });
    expect(await connections.refused).toMatchObject({ code: 'request_invalid' });
  });

  it('A check alone does not make the store of its process that of a Redis without one.', async () => {
    const { connections } = open('store-a');
    await connections.check();
    expect(await connections.commands.get(storeIdKey)).toBeNull();
    await open('store-b').connections.verify();
    await expect(connections.verify()).rejects.toMatchObject({ code: 'request_invalid' });
    expect(await connections.refused).toMatchObject({ code: 'request_invalid' });
  });

  it('A worker without the shared folder logs it once, and serves when the folder is mounted.', async () => {
    await open('store-a').connections.verify();
    const lines: string[] = [];
    const log: Logger['info'] = (_fields, message) => void lines.push(message);
    let storeId = 'store-b';
    const worker = new RedisConnections({
      url: redis.url,
      artifacts: { id: async () => storeId },
      waitsForStore: true,
      logger: { debug: log, info: log, warn: log, error: log },
    });
    onTestFinished(() => worker.disconnect());
    const serving = worker.waitUntilServing(AbortSignal.timeout(20_000));
    await delay(2_500);
    expect(lines).toEqual([
      expect.stringMatching(
        /^This worker takes no jobs: LIPSYNC_DATA_DIR or LIPSYNC_OUTPUT_DIR .*127\.0\.0\.1:\d+.*mounted/,
      ),
    ]);
    storeId = 'store-a';
    await expect(serving).resolves.toBeUndefined();
  });
});

describe('The state of Redis in the log', () => {
  it(
    'A Redis that is lost for seconds is logged once, and once when it serves again.',
    { timeout: 40_000 },
    async () => {
      const own = await startTestRedis();
      onTestFinished(() => own.stop());
      const { connections, lines } = open('store-a', own.url);
      await connections.check();
      await connections.subscriptions.subscribe('channel');
      await own.kill();
      const untilMs = performance.now() + 4_000;
      while (performance.now() < untilMs) {
        await connections.commands.get('key').catch((error: unknown) => expect(connections.report(error)).toBe(true));
        await delay(50);
      }
      expect(connections.serves).toBe(false);
      expect(lines).toEqual([
        {
          level: 'warn',
          fields: expect.objectContaining({
            part: 'redis',
            reason: 'unreachable',
            redis: `127.0.0.1:${own.port}`,
            cause: expect.stringContaining('ECONNREFUSED'),
          }),
          message: expect.stringContaining(`Redis at 127.0.0.1:${own.port} cannot be reached`),
        },
      ]);
      await own.restart();
      await expect.poll(() => lines.length, { timeout: 15_000 }).toBe(2);
      expect(lines[1]).toMatchObject({ level: 'info', message: 'redis works again' });
    },
  );

  it('A Redis that runs out of memory is noticed by a write that fails, and is not ready until it has memory.', async () => {
    const { connections, lines } = open('store-a');
    await connections.check();
    await delay(300);
    await connections.commands.config('SET', 'maxmemory', '1');
    onTestFinished(async () => void (await open('any').connections.commands.config('SET', 'maxmemory', '0')));
    await connections.commands.set('key', 'value').catch(() => undefined);
    await expect
      .poll(() => lines.map(({ fields }) => fields))
      .toEqual([expect.objectContaining({ part: 'redis', reason: 'out_of_memory' })]);
    await expect(connections.check()).rejects.toMatchObject({ kind: 'out_of_memory' });
    await connections.commands.config('SET', 'maxmemory', '0');
    await expect.poll(() => connections.serves, { timeout: 5_000 }).toBe(true);
  });

  it('A line about work that an outage of Redis stopped becomes a debug line, and any other stays.', async () => {
    const { connections, lines } = open('store-a', 'redis://127.0.0.1:1');
    const outage = await connections.check().catch((error: unknown) => error);
    const { logger } = connections;
    logger.warn({ jobId: 'job_1', error: new Error('a store failed', { cause: outage }) }, 'progress was not stored');
    logger.error({ error: outage }, 'request failed');
    logger.warn({ jobId: 'job_1', error: new Error('could not renew lock for job 1') }, 'lane worker error');
    logger.warn({}, 'a setting was corrected');
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ['warn', expect.stringContaining('cannot be reached')],
      ['debug', 'progress was not stored'],
      ['debug', 'request failed'],
      ['warn', 'lane worker error'],
      ['warn', 'a setting was corrected'],
    ]);
  });
});

describe('A process that starts before its Redis', () => {
  it(
    'A process waits for its Redis, which it names without the password, and continues when it is there.',
    { timeout: 40_000 },
    async () => {
      const own = await startTestRedis();
      onTestFinished(() => own.stop());
      await own.kill();
      const { connections, lines } = open('store-a', own.url.replace('//', '//:hunter2@'));
      const waiting = connections.waitUntilServing(new AbortController().signal);
      await delay(2_500);
      expect(lines.map(({ message }) => message)).toEqual([
        expect.stringContaining(`Redis at 127.0.0.1:${own.port} cannot be reached`),
      ]);
      expect(JSON.stringify(lines)).not.toContain('hunter2');
      await own.restart();
      await waiting;
    },
  );

  it('An abort ends the wait immediately.', async () => {
    const stop = new AbortController();
    const waiting = open('store-a', 'redis://127.0.0.1:1').connections.waitUntilServing(stop.signal);
    setTimeout(() => stop.abort(new Error('stopped')), 700);
    const startedMs = performance.now();
    await expect(waiting).rejects.toThrow();
    expect(performance.now() - startedMs).toBeLessThan(4_000);
  });

  it('A wrong password is refused immediately.', async () => {
    const own = await startTestRedis();
    onTestFinished(() => own.stop());
    await open('any', own.url).connections.commands.config('SET', 'requirepass', 'secret');
    const waiting = open('store-a', own.url.replace('//', '//:hunter2@')).connections.waitUntilServing(
      AbortSignal.timeout(5_000),
    );
    await expect(waiting).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringMatching(/^REDIS_URL: .*rejects the user name or password/),
    });
    await expect(waiting).rejects.not.toThrow('hunter2');
  });
});
