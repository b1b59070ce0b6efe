import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

const main = join(import.meta.dirname, '..', 'src', 'main.ts');

export interface WorkerProcessOptions {
  readonly redisUrl: string;
  /** Folder for data and outputs. */
  readonly folder: string;
  /** Further environment variables. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts a worker process. The caller ends it with `stopWorker`. */
export function spawnWorker({
  redisUrl,
  folder,
  settings,
}: WorkerProcessOptions): ChildProcessByStdio<null, Readable, Readable> {
  const child = spawn(process.execPath, [main], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      REDIS_URL: redisUrl,
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
      LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.1',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // A log that nothing reads would block the worker.
  child.stdout.resume();
  child.stderr.resume();
  return child;
}

/** Ends a worker process that runs, and waits for its exit. */
export async function stopWorker(child: ChildProcess | undefined, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child?.exitCode === null && child.signalCode === null && child.kill(signal)) await once(child, 'exit');
}
