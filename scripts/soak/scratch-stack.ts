import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLipsyncClient, type LipsyncClient } from '../demo/lipsync-client.ts';
import { appProcess } from '../stack/app-process.ts';
import { startGuarded, type GuardedProcess } from '../stack/guarded-process.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { startStack, type Stack } from '../stack/stack.ts';

const projectDir = dirname(dirname(import.meta.dirname));

export const samplePaths = {
  videoPath: join(projectDir, 'samples', 'presenter.mp4'),
  audioPath: join(projectDir, 'samples', 'speech.wav'),
} as const;

/** How files are called while they are written: stored files, and face tracks in the cache. */
const partialEndings = ['.part', '.partial'];
/** How long a job may take to clear up. */
const clearingUpMs = 10_000;

export interface ScratchStack {
  readonly url: string;
  readonly redisUrl: string;
  /** Holds everything that the service stores. */
  readonly rootDir: string;
  readonly outputDir: string;
  readonly client: LipsyncClient;
  /** Every line that a part has printed so far, the workers' of `startWorker` with them. */
  readonly lines: readonly string[];
  /** Starts an additional worker that is not restarted when it exits; resolves when it claims jobs. The caller stops it. */
  startWorker(environment: Readonly<Record<string, string>>): Promise<GuardedProcess>;
  /** Outputs that can be downloaded, relative to the output folder. */
  outputs(): Promise<string[]>;
  /**
   * Files that a job should have removed: work in progress and partial files anywhere. A job clears up right after its
   * record says that it is over, so that it is given a moment.
   */
  leftovers(): Promise<string[]>;
  stop(): Promise<void>;
}

/** The whole service on folders of its own, which are gone after `stop`. `environment` overrides its settings. */
export async function startScratchStack(
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ScratchStack> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-soak-'));
  const dataDir = join(folder, 'data');
  const outputDir = join(folder, 'outputs');
  const lines: string[] = [];
  const settings = {
    HOST: '127.0.0.1',
    PORT: String(await freeLoopbackPort()),
    PUBLIC_BASE_URL: '',
    LIPSYNC_API_KEYS: '',
    LIPSYNC_OUTPUT_DIR: outputDir,
    // A proof spends no money.
    HEYGEN_API_KEY: '',
    ...environment,
  };
  const stack: Stack = await startStack({
    projectDir,
    dataDir,
    settingsDir: folder,
    workerGraceMs: 15_000,
    signal,
    environment: settings,
    onLine: (_part, line) => lines.push(line),
    onEvent: () => undefined,
  });
  const { url, redisUrl } = stack;
  return {
    url,
    redisUrl,
    outputDir,
    lines,
    rootDir: folder,
    client: createLipsyncClient(url, signal),
    async startWorker(more) {
      const worker = appProcess({
        name: 'worker',
        projectDir,
        settingsDir: folder,
        stopGraceMs: 15_000,
        onLine: (line) => lines.push(line),
        onEvent: () => undefined,
        environment: { ...process.env, ...settings, REDIS_URL: redisUrl, LIPSYNC_DATA_DIR: dataDir, ...more },
      });
      const started = await startGuarded(worker.plan);
      await worker.whenReady(signal);
      return started;
    },
    outputs: () => filesBelow(outputDir),
    async leftovers() {
      const untilMs = performance.now() + clearingUpMs;
      for (;;) {
        const partial = (await filesBelow(folder)).filter((name) =>
          partialEndings.some((ending) => name.endsWith(ending)),
        );
        const left = [...partial, ...(await filesBelow(join(dataDir, 'work')))];
        if (left.length === 0 || performance.now() > untilMs) return left;
        await sleep(100, undefined, { signal });
      }
    },
    async stop() {
      await stack.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
