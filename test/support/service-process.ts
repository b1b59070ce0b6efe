import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';

const projectDir = dirname(dirname(import.meta.dirname));
const programs = {
  api: join('apps', 'api', 'src', 'main.ts'),
  worker: join('apps', 'worker', 'src', 'main.ts'),
  launcher: join('scripts', 'start.ts'),
};

/** A line of the log of a service. */
export interface LogRecord {
  readonly level: number;
  readonly time: string;
  readonly app: string;
  readonly msg: string;
  readonly ready?: boolean;
  readonly url?: string;
  readonly jobId?: string;
  readonly lanes?: readonly { readonly lane: string }[];
}

export interface ServiceProcessOptions {
  /** Working directory, and folder for data and outputs. */
  readonly folder: string;
  readonly redisUrl?: string;
  readonly args?: readonly string[];
  /** Further environment variables. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface ServiceProcess {
  readonly child: ChildProcess;
  /** Complete log records so far. Throws for a line of standard output that is not JSON. */
  records(): readonly LogRecord[];
  /** Standard error so far. */
  errorText(): string;
  /** Resolves with the ready record, or with undefined if the process ends without one. */
  ready(): Promise<LogRecord | undefined>;
  /** Resolves when the process has ended and its output is complete. */
  readonly ended: Promise<unknown>;
  /** Ends the process if it runs, and waits for its exit. Default: SIGKILL. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a process of the service with the given environment only. The caller ends it with `stop`. */
export function startService(
  program: keyof typeof programs,
  { folder, redisUrl = '', args = [], settings }: ServiceProcessOptions,
): ServiceProcess {
  const child = spawn(process.execPath, [join(projectDir, programs[program]), ...args], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      REDIS_URL: redisUrl,
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
      LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.1',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = once(child, 'close');
  const records = (): readonly LogRecord[] =>
    stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  const findReady = () => records().find(({ ready }) => ready === true);
  return {
    child,
    ended,
    records,
    errorText: () => stderr,
    async ready() {
      let isRunning = true;
      while (isRunning && !findReady())
        isRunning = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
      return findReady();
    },
    async stop(signal = 'SIGKILL') {
      if (child.exitCode === null && child.signalCode === null && child.kill(signal)) await once(child, 'exit');
    },
  };
}
