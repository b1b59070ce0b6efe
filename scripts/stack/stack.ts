import { join } from 'node:path';
import { requireWritable } from '@lipsync/core/host';
import { tryLock } from '../bootstrap/lock-file.mjs';
import { appProcess, type ReadyMessage } from './app-process.ts';
import { keepRunning, type KeptProcess } from './keep-running.ts';
import { preparePrivateRedis } from './private-redis.ts';

export type AppName = 'api' | 'worker';
export type PartName = 'redis' | AppName;

export interface StackOptions {
  readonly projectDir: string;
  /** Absolute. Contains the data of Redis; only one stack at a time can use it. */
  readonly dataDir: string;
  /** Folder in which API and worker look for a `.env` file. Default: the project folder. */
  readonly settingsDir?: string;
  /** Use this Redis instead of starting one. */
  readonly redisUrl?: string;
  /** Settings of API and worker; overrides the process environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Time for a stopping worker to finish its jobs before it is killed. */
  readonly workerGraceMs: number;
  /** Receives every line that a process prints. */
  readonly onLine: (part: PartName, line: string) => void;
  /** Receives messages about restarts and leftover processes. */
  readonly onEvent: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface Stack {
  /** Base URL of the API. */
  readonly url: string;
  /** URL of Redis for api, worker and other clients, including the password. */
  readonly redisUrl: string;
  /** Resolves with the reason when a process keeps failing; the caller still calls `stop`. */
  readonly failed: Promise<Error>;
  /** Stops API and worker, then Redis, and unlocks the data folder. Can be called more than once. */
  stop(): Promise<void>;
}

/** Running processes. Redis stops last, because the others write to it while they stop. */
interface Parts {
  redis?: KeptProcess;
  readonly apps: KeptProcess[];
}

const readyTimeoutMs = 60_000;
const apiGraceMs = 15_000;

/** A stack that did not start; the message states why and what to do. */
class StackError extends Error {
  override readonly name = 'StackError';
}

/**
 * Starts Redis (unless a URL is given), API and worker, and restarts each of them when it exits. Resolves when all are
 * ready. Throws `StorageError` when the data folder cannot be written, `StackError` when another stack uses it, and the
 * error of a process that did not start; all processes are then stopped.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  await requireWritable({ path: options.dataDir, alternative: 'set LIPSYNC_DATA_DIR to another folder' });
  const lock = tryLock(join(options.dataDir, 'stack.lock'));
  if ('heldBy' in lock) {
    throw new StackError(
      `Process ${lock.heldBy} already uses ${options.dataDir}. Stop it first, or set LIPSYNC_DATA_DIR to another folder.`,
    );
  }
  const parts: Parts = { apps: [] };
  const stop = runOnce(async () => {
    await Promise.all(parts.apps.map((app) => app.stop()));
    await parts.redis?.stop();
    lock.release();
  });
  try {
    const redisUrl = options.redisUrl ?? (await startRedis(options, parts));
    const url = await startApps(redisUrl, options, parts);
    return {
      url,
      redisUrl,
      failed: Promise.race([...(parts.redis ? [parts.redis] : []), ...parts.apps].map((part) => part.failed)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Adds each process to `parts` when it is ready, so that the caller can stop it. */
async function startApps(redisUrl: string, options: StackOptions, parts: Parts): Promise<string> {
  const failed = new AbortController();
  const start = async (name: AppName): Promise<StartedApp> => {
    const signal = AbortSignal.any([options.signal, failed.signal]);
    try {
      // A worker is ready when Redis serves, and a Redis of others may start much later.
      const waits = name === 'worker' && options.redisUrl !== undefined;
      const app = await startApp(name, { ...options, redisUrl, signal }, waits ? undefined : readyTimeoutMs);
      parts.apps.push(app);
      return app;
    } catch (error) {
      // The other one may wait for Redis without a limit.
      failed.abort(error);
      throw error;
    }
  };
  // Waits for both: a process that becomes ready while the other one fails must be stopped too.
  const started = await Promise.allSettled([start('api'), start('worker')]);
  const failure = started.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  const url = started[0].status === 'fulfilled' ? started[0].value.url : undefined;
  if (url === undefined) throw new StackError('The ready message of the API has no URL.');
  return url;
}

async function startRedis(options: StackOptions, parts: Parts): Promise<string> {
  const redis = await preparePrivateRedis(join(options.dataDir, 'redis'), {
    onLine: (line) => options.onLine('redis', line),
    onEvent: options.onEvent,
  });
  parts.redis = await keepRunning({
    plan: redis.plan,
    whenReady: redis.whenReady,
    readyTimeoutMs,
    signal: options.signal,
  });
  return redis.url;
}

/** A running app; the caller stops it. */
export interface StartedApp extends KeptProcess {
  /** Base URL of the API. */
  readonly url?: string;
}

/**
 * Starts one app with an existing Redis and restarts it when it exits. Resolves when it is ready. Throws the error of a
 * process that did not start. Unlike a stack, several may use one data folder.
 */
export async function startApp(
  name: AppName,
  options: StackOptions & { readonly redisUrl: string },
  readyLimitMs?: number,
): Promise<StartedApp> {
  const { projectDir, settingsDir = projectDir, redisUrl, onLine, onEvent, signal } = options;
  const app = appProcess({
    name,
    projectDir,
    settingsDir,
    environment: {
      ...process.env,
      ...options.environment,
      REDIS_URL: redisUrl,
      LIPSYNC_DATA_DIR: options.dataDir,
    },
    stopGraceMs: name === 'api' ? apiGraceMs : options.workerGraceMs,
    onLine: (line) => onLine(name, line),
    onEvent,
  });
  let message: ReadyMessage = { ready: true };
  const kept = await keepRunning({
    plan: app.plan,
    ...(readyLimitMs === undefined ? {} : { readyTimeoutMs: readyLimitMs }),
    signal,
    async whenReady(_process, ended) {
      message = await app.whenReady(ended);
    },
  });
  return { ...kept, ...(message.url === undefined ? {} : { url: message.url }) };
}

function runOnce(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= action());
}
