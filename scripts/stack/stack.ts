import { join } from 'node:path';
import { tryLock } from '../bootstrap/lock-file.mjs';
import { appProcess, type ReadyMessage } from './app-process.ts';
import { keepRunning, type KeptProcess } from './keep-running.ts';
import { preparePrivateRedis } from './private-redis.ts';

export type PartName = 'redis' | 'api' | 'worker';

export interface StackOptions {
  readonly projectDir: string;
  /** Absolute. Redis keeps its file under it; one stack at a time. */
  readonly dataDir: string;
  /** Where api and worker look for a `.env` file; the project's folder where absent. */
  readonly settingsDir?: string;
  /** Use this Redis instead of starting one. */
  readonly redisUrl?: string;
  /** What api and worker read their settings from, over the process environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** How long a stopping worker may finish what it has begun, before it is killed. */
  readonly workerGraceMs: number;
  /** Every line that a part prints. */
  readonly onLine: (part: PartName, line: string) => void;
  /** What the launcher does about its parts: restarts, leftovers. */
  readonly onEvent: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface Stack {
  /** Where the API serves. */
  readonly url: string;
  /** URL of Redis for api, worker and other clients, including the password. */
  readonly redisUrl: string;
  /** Resolves with the reason when a part keeps failing; stop() is then still to be called. */
  readonly gaveUp: Promise<Error>;
  /** Stops api and worker, then Redis, and frees the data folder. May be called more than once. */
  stop(): Promise<void>;
}

/** What runs so far. Redis goes last: the others still have something to write when they stop. */
interface Parts {
  redis?: KeptProcess;
  readonly apps: KeptProcess[];
}

const readyTimeoutMs = 60_000;
const apiGraceMs = 15_000;

/** A stack that did not start; the message says why and what to do. */
class StackError extends Error {
  override readonly name = 'StackError';
}

/**
 * Starts Redis (unless one is given), API and worker, each restarted when it dies. Resolves when all serve.
 * Throws `StackError` when another stack holds the data folder, and whatever kept a part from starting; nothing is
 * left running then.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const lock = tryLock(join(options.dataDir, 'stack.lock'));
  if ('heldBy' in lock) {
    throw new StackError(
      `Process ${lock.heldBy} is serving from ${options.dataDir} already. Stop it first, or set LIPSYNC_DATA_DIR to another folder.`,
    );
  }
  const parts: Parts = { apps: [] };
  const stop = onceOnly(async () => {
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
      gaveUp: Promise.race([...(parts.redis ? [parts.redis] : []), ...parts.apps].map((part) => part.gaveUp)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Adds each part to `parts` as soon as it runs, so that the caller can stop what there is. */
async function startApps(redisUrl: string, options: StackOptions, parts: Parts): Promise<string> {
  const environment = {
    ...process.env,
    ...options.environment,
    REDIS_URL: redisUrl,
    LIPSYNC_DATA_DIR: options.dataDir,
  };
  // Settled, not raced: a part that comes up while another one fails must still be stopped.
  const started = await Promise.allSettled([
    startApp('api', environment, apiGraceMs, options, parts),
    startApp('worker', environment, options.workerGraceMs, options, parts),
  ]);
  const failure = started.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  const url = started[0].status === 'fulfilled' ? started[0].value.url : undefined;
  if (url === undefined) throw new StackError('The API did not say where it serves.');
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

async function startApp(
  name: 'api' | 'worker',
  environment: NodeJS.ProcessEnv,
  stopGraceMs: number,
  { projectDir, settingsDir = projectDir, onLine, onEvent, signal }: StackOptions,
  parts: Parts,
): Promise<ReadyMessage> {
  const app = appProcess({
    name,
    projectDir,
    settingsDir,
    environment,
    stopGraceMs,
    onLine: (line) => onLine(name, line),
    onEvent,
  });
  let message: ReadyMessage = { ready: true };
  const kept = await keepRunning({
    plan: app.plan,
    readyTimeoutMs,
    signal,
    async whenReady(_process, ended) {
      message = await app.whenReady(ended);
    },
  });
  parts.apps.push(kept);
  return message;
}

function onceOnly(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= action());
}
