import { join } from 'node:path';
import type { ProcessPlan } from './guarded-process.ts';
import { parseRecord } from './log-record.ts';

export interface AppOptions {
  readonly name: 'api' | 'worker';
  readonly projectDir: string;
  /** Working folder, in which the app looks for a `.env` file. */
  readonly settingsDir: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly stopGraceMs: number;
  readonly onLine: (line: string) => void;
  readonly onEvent: (text: string) => void;
}

/** Part of the line that an app logs when it is ready. */
export interface ReadyMessage {
  readonly ready: true;
  readonly url?: string;
}

export interface AppProcess {
  readonly plan: ProcessPlan;
  /** Resolves with the ready message of the current start. Call it once per start. */
  readonly whenReady: (signal: AbortSignal) => Promise<ReadyMessage>;
}

/** Plans an app of this workspace as a child process with the Node of this process. */
export function appProcess({
  name,
  projectDir,
  settingsDir,
  environment,
  stopGraceMs,
  onLine,
  onEvent,
}: AppOptions): AppProcess {
  let waiting = Promise.withResolvers<ReadyMessage>();
  const plan: ProcessPlan = {
    name,
    program: process.execPath,
    args: [join(projectDir, 'apps', name, 'src', 'main.ts')],
    cwd: settingsDir,
    environment,
    stopGraceMs,
    orphanDelayS: 0,
    onEvent,
    onLine(line) {
      const message = parseReadyMessage(line);
      if (message !== undefined) waiting.resolve(message);
      onLine(line);
    },
  };
  return {
    plan,
    async whenReady(signal) {
      const aborted = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => aborted.reject(signal.reason), { once: true });
      try {
        return await Promise.race([waiting.promise, aborted.promise]);
      } finally {
        waiting = Promise.withResolvers();
      }
    },
  };
}

/** Parses a ready message; undefined for other lines, for example log records. */
export function parseReadyMessage(line: string): ReadyMessage | undefined {
  const { ready, url } = parseRecord(line) ?? {};
  if (ready !== true) return undefined;
  return typeof url === 'string' ? { ready: true, url } : { ready: true };
}
