import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { privateRedisKey, storeIdKey } from '@lipsync/queue';
import { processStartTime } from '../bootstrap/process-identity.mjs';
import type { GuardedProcess, ProcessPlan } from './guarded-process.ts';

/** Stored for the next start: address and password of Redis, and the identity of its process. */
interface RedisInstance {
  readonly port: number;
  readonly password: string;
  readonly pid?: number;
  readonly startTime?: string;
}

export interface PrivateRedis {
  readonly url: string;
  readonly plan: ProcessPlan;
  readonly whenReady: (process: GuardedProcess, signal: AbortSignal) => Promise<void>;
}

const instanceFile = 'instance.json';
const configFile = 'redis.conf';
const staleStopMs = 15_000;

/**
 * Prepares a Redis with its data in `folder`. Reuses port and password of the last start if possible, and first stops a
 * Redis that a killed launcher left running. The password is in a file that only this user can read, not in the
 * arguments.
 */
export async function preparePrivateRedis(
  folder: string,
  { onLine, onEvent }: Pick<ProcessPlan, 'onLine' | 'onEvent'>,
): Promise<PrivateRedis> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const previous = await readInstance(folder);
  if (previous !== undefined) await stopLeftover(previous, onEvent);
  const port = await choosePort(previous?.port);
  const password = previous?.password ?? randomBytes(32).toString('hex');
  const url = `redis://:${password}@127.0.0.1:${port}`;
  await writePrivately(join(folder, configFile), redisConfig(port, password));
  await writePrivately(join(folder, instanceFile), JSON.stringify({ port, password }));
  const plan: ProcessPlan = {
    name: 'redis',
    program: 'redis-server',
    args: [configFile],
    cwd: folder,
    environment: process.env,
    stopGraceMs: 15_000,
    orphanDelayS: 15,
    onLine,
    onEvent,
  };
  return {
    url,
    plan,
    async whenReady({ pid }, signal) {
      const instance: RedisInstance = { port, password, pid, startTime: processStartTime(pid) ?? '' };
      await writePrivately(join(folder, instanceFile), JSON.stringify(instance));
      await waitUntilLoaded(url, signal);
    },
  };
}

/** Syncs to disk every second, never evicts keys, listens on loopback only. */
function redisConfig(port: number, password: string): string {
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    'protected-mode yes',
    `requirepass ${password}`,
    'daemonize no',
    'dir .',
    'save ""',
    'appendonly yes',
    'appendfsync everysec',
    // A crash may truncate the last command; the rest of the file is valid.
    'aof-load-truncated yes',
    'maxmemory-policy noeviction',
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * Resolves when Redis answers and has read its file. Its data folder belongs to this service, so that a data folder
 * without its inputs is no other service's, and its append-only file may be rewritten.
 * Throws the signal's reason when that fires first.
 */
async function waitUntilLoaded(url: string, signal: AbortSignal): Promise<void> {
  // The client retries its ready check until Redis has loaded its file; connection errors are expected until then.
  const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  client.on('error', () => undefined);
  client.once('ready', resolve);
  try {
    signal.throwIfAborted();
    await promise;
    await client.multi().del(storeIdKey).set(privateRedisKey, '1').exec();
  } finally {
    signal.removeEventListener('abort', onAbort);
    client.disconnect();
  }
}

/** Stops the process if it is the recorded one; its pid may have been reused. */
async function stopLeftover({ pid, startTime }: RedisInstance, onEvent: (text: string) => void): Promise<void> {
  if (pid === undefined) return;
  const isLeftover = (): boolean => processStartTime(pid) !== undefined && processStartTime(pid) === startTime;
  if (!isLeftover()) return;
  onEvent(`stopping Redis process ${pid}, which a killed launcher left running`);
  process.kill(pid, 'SIGTERM');
  const deadlineMs = Date.now() + staleStopMs;
  while (isLeftover()) {
    if (Date.now() > deadlineMs) process.kill(pid, 'SIGKILL');
    await sleep(50);
  }
}

/** The previous port, so that clients that survived a crash reconnect; a free one if it is in use. */
async function choosePort(previous: number | undefined): Promise<number> {
  return (previous !== undefined && (await tryPort(previous))) || freeLoopbackPort();
}

/** Returns a port that was free at the time of the call. */
export async function freeLoopbackPort(): Promise<number> {
  const port = await tryPort(0);
  if (port === undefined) throw new Error('This machine has no free port on 127.0.0.1.');
  return port;
}

function tryPort(port: number): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const server = createServer();
  server.once('error', () => resolve(undefined));
  server.listen({ port, host: '127.0.0.1' }, () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
  });
  return promise;
}

async function readInstance(folder: string): Promise<RedisInstance | undefined> {
  const text = await readFile(join(folder, instanceFile), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parseInstance(text);
}

/** Undefined for a foreign or incomplete file: a new instance is then created over the same data. */
function parseInstance(text: string): RedisInstance | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isInstance(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isInstance(value: unknown): value is RedisInstance {
  if (typeof value !== 'object' || value === null) return false;
  const hasAddress =
    'port' in value && Number.isInteger(value.port) && 'password' in value && typeof value.password === 'string';
  const hasProcess =
    'pid' in value && Number.isInteger(value.pid) && 'startTime' in value && typeof value.startTime === 'string';
  return hasAddress && /^[0-9a-f]{64}$/.test(String(value.password)) && (hasProcess || !('pid' in value));
}

async function writePrivately(path: string, text: string): Promise<void> {
  const temporaryPath = `${path}.${process.pid}`;
  await writeFile(temporaryPath, text, { mode: 0o600 });
  await rename(temporaryPath, path);
}
