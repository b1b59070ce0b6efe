/**
 * `npm run demo [-- --heygen-standin]`: starts the service on a free port, runs one job and prints its result as a
 * table. With the option, the job uses HeyGen, replaced by the stand-in.
 */
import { access, mkdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { LipsyncClient, type JobView } from '@lipsync/client';
import { startHeygenStandin, type HeygenStandin } from '../packages/heygen-standin/src/index.ts';
import { readEnvironment } from '../packages/lipsync-core/src/config.ts';
import { download } from '../packages/lipsync-core/src/cli/service-commands.ts';
import { createProgressDisplay } from '../packages/lipsync-core/src/cli/terminal.ts';
import { probeTake } from '../packages/lipsync-core/src/media/index.ts';
import { resultTable, walletTable, type DemoResult } from './demo/result-table.ts';
import { createJob } from './lib/create-job.ts';
import { standinEnvironment } from './lib/standin-environment.ts';
import { freeLoopbackPort } from './stack/private-redis.ts';
import { stackConfigFromEnvironment } from './stack/config.ts';
import { startStack } from './stack/stack.ts';
import { stopSignal, untilAborted } from './stack/stop-signal.ts';

const projectDir = dirname(import.meta.dirname);
const videoPath = join(projectDir, 'samples', 'presenter.mp4');
const audioPath = join(projectDir, 'samples', 'speech.wav');
const dataDir = join(projectDir, 'data', 'demo');
const outputPath = join(projectDir, 'outputs', 'demo', 'presenter-speech.mp4');
const timeLimitMs = 10 * 60_000;

function printStatus(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({ options: { 'heygen-standin': { type: 'boolean', default: false } } });
  await Promise.all([access(videoPath), access(audioPath)]);
  const signal = AbortSignal.any([stopSignal(), AbortSignal.timeout(timeLimitMs)]);
  const standin = options['heygen-standin'] ? await startHeygenStandin({ settings: { mouth: 'moving' } }) : undefined;
  if (standin !== undefined) printStatus(`The HeyGen stand-in is running at ${standin.url}`);
  try {
    const result = await runOnStack(standin, signal);
    process.stdout.write(`${resultTable(result)}\n`);
    if (standin !== undefined) process.stdout.write(`${walletTable(standin.control.wallet())}\n`);
    process.stdout.write(`${relative(process.cwd(), outputPath)}\n`);
  } finally {
    await standin?.close();
  }
}

async function runOnStack(standin: HeygenStandin | undefined, signal: AbortSignal): Promise<DemoResult> {
  printStatus('Starting Redis, API and worker ...');
  const { workerGraceMs, redisUrl } = stackConfigFromEnvironment(projectDir);
  await mkdir(dataDir, { recursive: true });
  const stack = await startStack({
    projectDir,
    // A separate folder, so that the demo does not share state with a running service.
    dataDir,
    // The .env file of the project is ignored: it may contain a key that costs money.
    settingsDir: dataDir,
    environment: await demoEnvironment(standin),
    workerGraceMs,
    ...(redisUrl === undefined ? {} : { redisUrl }),
    onLine: () => undefined,
    onEvent: printStatus,
    signal,
  });
  try {
    const failure = stack.failed.then((error) => Promise.reject(error));
    const canceled = untilAborted(signal).then(() => Promise.reject(signal.reason));
    return await Promise.race([runJob(stack.url, signal), failure, canceled]);
  } finally {
    await stack.stop();
  }
}

/** Loopback only, with the configured Wav2Lip model, and without a HeyGen key that could cost money. */
async function demoEnvironment(standin: HeygenStandin | undefined): Promise<Record<string, string>> {
  const modelPath = readEnvironment(projectDir)['WAV2LIP_MODEL_PATH']?.trim() ?? '';
  return {
    HOST: '127.0.0.1',
    PORT: String(await freeLoopbackPort()),
    PUBLIC_BASE_URL: '',
    LIPSYNC_API_KEYS: '',
    LIPSYNC_OUTPUT_DIR: join(dataDir, 'outputs'),
    WAV2LIP_MODEL_PATH: modelPath === '' ? '' : resolve(projectDir, modelPath),
    HEYGEN_API_KEY: '',
    ...(standin === undefined ? {} : standinEnvironment(standin)),
  };
}

async function runJob(url: string, signal: AbortSignal): Promise<DemoResult> {
  const client = new LipsyncClient({ baseUrl: url });
  const startedMs = performance.now();
  printStatus(`Sending ${relative(projectDir, videoPath)} and ${relative(projectDir, audioPath)} to ${url}/lipsync`);
  const accepted = await createJob(client, { videoPath, audioPath }, { allow_preview: true }, signal);
  const display = createProgressDisplay(process.stderr);
  const onProgress = (state: JobView): void => display.show(state);
  const job = await client.waitFor(accepted.id, { signal, onProgress }).finally(() => display.end());
  if (job.status !== 'completed') throw new Error(`The job is ${job.status}: ${job.error?.message ?? job.message}`);
  await download(client, job.id, { path: outputPath, overwrite: true, signal });
  const elapsedMs = performance.now() - startedMs;
  const [take, { size: sizeBytes }] = await Promise.all([probeTake(outputPath, { signal }), stat(outputPath)]);
  return { job, take, sizeBytes, elapsedMs };
}

try {
  await main();
} catch (error) {
  printStatus(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
if (process.connected) process.disconnect();
