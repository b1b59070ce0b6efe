import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LipsyncClient, type JobView } from '@lipsync/client';
import { download } from '../../packages/lipsync-core/src/cli/service-commands.ts';
import { createJob, type InputPaths, type JobFields } from '../lib/create-job.ts';
import { appProcess } from '../stack/app-process.ts';
import { startGuarded, type GuardedProcess } from '../stack/guarded-process.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { startStack, type Stack } from '../stack/stack.ts';

const projectDir = dirname(dirname(import.meta.dirname));

export const samplePaths = {
  videoPath: join(projectDir, 'samples', 'presenter.mp4'),
  audioPath: join(projectDir, 'samples', 'speech.wav'),
} as const;

/** File name endings of partial files: of the artifact store and of the face track cache. */
const partialEndings = ['.part', '.partial'];
/** Time that a job may need to delete its files. */
const cleanupLimitMs = 10_000;

export interface ScratchStack {
  readonly url: string;
  readonly redisUrl: string;
  /** Contains everything that the service stores. */
  readonly rootDir: string;
  readonly outputDir: string;
  /** Every line that the processes have printed so far, including workers of `startWorker`. */
  readonly lines: readonly string[];
  /** Sends `cache: false` unless a field overrides it: most soak tests send one sample often, and each job has to run. */
  submit(inputs: InputPaths, fields?: JobFields): Promise<JobView>;
  /** Waits until a job has ended, whatever its status is. */
  waitFor(id: string, onProgress?: (job: JobView) => void): Promise<JobView>;
  /** Stores the output of a completed job at `path`. */
  download(id: string, path: string): Promise<void>;
  /**
   * Starts an additional worker that is not restarted when it exits; resolves when it claims jobs. The caller stops it.
   */
  startWorker(environment: Readonly<Record<string, string>>): Promise<GuardedProcess>;
  /** Starts an additional API on the same Redis and folders. The caller stops it. */
  startApi(): Promise<{ readonly url: string; readonly process: GuardedProcess }>;
  /** Outputs that can be downloaded, relative to the output folder. */
  outputs(): Promise<string[]>;
  /**
   * Lists work files and partial files that jobs should have deleted. Waits for a while, because a job deletes its
   * files after its record has ended.
   */
  leftovers(): Promise<string[]>;
  stop(): Promise<void>;
}

/** Starts the whole service in a temporary folder, which `stop` deletes. `environment` overrides its settings. */
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
    // Soak tests must not spend money.
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
  const client = new LipsyncClient({ baseUrl: url });
  const start = async (name: 'api' | 'worker', more: Readonly<Record<string, string>>) => {
    const app = appProcess({
      name,
      projectDir,
      settingsDir: folder,
      stopGraceMs: 15_000,
      onLine: (line) => lines.push(line),
      onEvent: () => undefined,
      environment: { ...process.env, ...settings, REDIS_URL: redisUrl, LIPSYNC_DATA_DIR: dataDir, ...more },
    });
    const started = await startGuarded(app.plan);
    return { process: started, ready: await app.whenReady(signal) };
  };
  return {
    url,
    redisUrl,
    outputDir,
    lines,
    rootDir: folder,
    submit: (inputs, fields) => createJob(client, inputs, { cache: false, ...fields }, signal),
    waitFor: (id, onProgress) => client.waitFor(id, { signal, ...(onProgress && { onProgress }) }),
    download: (id, path) => download(client, id, { path, overwrite: true, signal }),
    startWorker: async (more) => (await start('worker', more)).process,
    async startApi() {
      const { process: api, ready } = await start('api', { PORT: String(await freeLoopbackPort()) });
      if (ready.url === undefined) throw new Error('The API did not print its address.');
      return { url: ready.url, process: api };
    },
    outputs: () => filesBelow(outputDir),
    leftovers: () => listLeftovers(folder, signal),
    async stop() {
      await stack.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function listLeftovers(folder: string, signal: AbortSignal): Promise<string[]> {
  const untilMs = performance.now() + cleanupLimitMs;
  for (;;) {
    const partial = (await filesBelow(folder)).filter((name) => partialEndings.some((ending) => name.endsWith(ending)));
    const left = [...partial, ...(await filesBelow(join(folder, 'data', 'work')))];
    if (left.length === 0 || performance.now() > untilMs) return left;
    await sleep(100, undefined, { signal });
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
