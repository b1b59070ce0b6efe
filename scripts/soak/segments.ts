import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SegmentBoard, systemClock } from '@lipsync/core/host';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { writeSeededWav2Lip } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { startScratchStack, type ScratchStack } from './scratch-stack.ts';

const execute = promisify(execFile);

/** The promise is stated for 120 s; shorter takes have relatively more frames that are rendered twice. */
const takeSeconds = Number(process.env['SEGMENTS_SECONDS'] ?? 16);
const segmentMs = Number(process.env['SEGMENTS_MS'] ?? (takeSeconds * 1_000) / 4);
/** `speed`, `kill`, or both by default. */
const parts = (process.env['SEGMENTS_PARTS'] ?? 'speed,kill').split(',');
const limitMs = 30 * 60_000;
const boardPollMs = 200;
const framesAroundSeam = 2;
const largestLoss = 0.002;
const requiredSpeed = takeSeconds >= 120 ? 1.7 : 1;

type SegmentList = NonNullable<Awaited<ReturnType<SegmentBoard['read']>>>;

interface Sample {
  readonly videoPath: string;
  readonly audioPath: string;
}

interface Bench {
  readonly folder: string;
  readonly stack: ScratchStack;
  readonly board: SegmentBoard;
  readonly sample: Sample;
  /** Too short to be split. */
  readonly shortSample: Sample;
  readonly signal: AbortSignal;
}

interface Made {
  readonly path: string;
  readonly wallMs: number;
  /** The last list of segments of the job; undefined for a take in one piece. */
  readonly list: SegmentList | undefined;
}

/**
 * Renders one clip by `wav2lip` (full size, seeded weights, track cached, quality not measured) on one worker and on
 * two, each pinned to one core and with a started engine, and once more while one of the two is killed with SIGKILL.
 * Prints the times from submission to completion. The takes must have the same frames and the same sound, and the
 * frames around each seam must be as like the clip as in the take in one piece.
 */
export async function proveSegments(): Promise<boolean> {
  const signal = AbortSignal.timeout(limitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-segments-'));
  const sample = await makeSample(join(folder, 'long'), takeSeconds, signal);
  const shortSample = await makeSample(join(folder, 'short'), 1, signal);
  const modelPath = join(folder, 'wav2lip.onnx');
  await writeSeededWav2Lip(modelPath, { widthDivisor: 1, seed: 7 });
  const environment = {
    WORKER_LANES: 'cloud',
    WORKER_SEGMENT_MS: String(segmentMs),
    WAV2LIP_MODEL_PATH: modelPath,
    LIPSYNC_GPU_ENABLED: 'false',
    LIPSYNC_QUALITY: 'off',
  };
  const stack = await startScratchStack(environment, signal);
  const connection = createClientConnection({ url: stack.redisUrl, onError: () => undefined });
  const board = new SegmentBoard({
    state: new RedisStateStore({ connection }),
    artifacts: { delete: () => Promise.reject(new Error('The soak test deletes nothing.')) },
    clock: systemClock,
  });
  try {
    return await compare({ folder, stack, board, sample, shortSample, signal });
  } finally {
    connection.disconnect();
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeSample(folder: string, seconds: number, signal: AbortSignal): Promise<Sample> {
  await mkdir(folder);
  const { clipPath, speechPath } = await lengthenSample(folder, seconds, signal);
  return { videoPath: clipPath, audioPath: speechPath };
}

async function compare(bench: Bench): Promise<boolean> {
  const first = await startPinned(bench, 0);
  let second: GuardedProcess | undefined;
  try {
    await cacheTrack(bench);
    await startEngines(bench, 1);
    const whole = await make(bench, 'one');
    second = await startPinned(bench, 1);
    await startEngines(bench, 2);
    let holds = true;
    console.log(
      '| workers | frames | segments | leases | s | times faster | sound equal | smallest SSIM − one piece at seams |',
    );
    console.log('|---|---|---|---|---|---|---|---|');
    await report(bench, 'one', whole, whole);
    if (parts.includes('speed')) {
      const split = await make(bench, 'two');
      holds &&= (await report(bench, 'two', split, whole)) && whole.wallMs / split.wallMs >= requiredSpeed;
    }
    if (parts.includes('kill')) holds &&= await proveKill(bench, second, whole);
    return holds;
  } finally {
    await Promise.all([first.stop(), second?.stop()]);
  }
}

/** A worker of the render lane on one core. Processes that it starts later inherit the core. */
async function startPinned({ stack, signal }: Bench, core: number): Promise<GuardedProcess> {
  const worker = await stack.startWorker({ WORKER_LANES: 'render' });
  await execute('taskset', ['-a', '-c', '-p', String(core), String(worker.pid)], { signal });
  // A worker shares segments once it has read its models.
  await sleep(5_000, undefined, { signal });
  return worker;
}

/** The track of a clip is cached by its first job, whatever its provider. */
async function cacheTrack({ stack, sample }: Bench): Promise<void> {
  const { id } = await stack.submit(sample, { method: 'preview' });
  await stack.waitFor(id);
}

/** Renders a short clip on each idle worker, so that no timed take waits for the start of an engine. */
async function startEngines({ stack, shortSample }: Bench, workers: number): Promise<void> {
  const submit = () => stack.submit(shortSample, { method: 'wav2lip' });
  const jobs = await Promise.all(Array.from({ length: workers }, submit));
  const ended = await Promise.all(jobs.map(({ id }) => stack.waitFor(id)));
  if (ended.some(({ status }) => status !== 'completed')) throw new Error('A worker could not start its engine.');
}

async function make(bench: Bench, name: string, onList?: (list: SegmentList) => void): Promise<Made> {
  const { stack, sample, board, folder, signal } = bench;
  const startedMs = performance.now();
  const job = await stack.submit(sample, { method: 'wav2lip', sync_mode: 'cut_off' });
  const ended = new AbortController();
  let list: SegmentList | undefined;
  const watch = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const found = await board.read(job.id);
      if (found && found.segments.length > 0) {
        list = found;
        onList?.(found);
      }
      await sleep(boardPollMs, undefined, { signal });
    }
  };
  const watching = watch();
  const done = await stack.waitFor(job.id);
  const wallMs = performance.now() - startedMs;
  ended.abort();
  await watching;
  if (done.status !== 'completed') throw new Error(`The job on ${name} is ${done.status}: ${done.error?.message}`);
  const path = join(folder, 'takes', `${name}.mp4`);
  await stack.download(done.id, path);
  return { path, wallMs, list };
}

/** Kills one of two workers after a segment was finished. */
async function proveKill(bench: Bench, worker: GuardedProcess, whole: Made): Promise<boolean> {
  let atKill: SegmentList | undefined;
  const made = await make(bench, 'two, one killed', (list) => {
    const leased = list.segments.filter(({ lease }) => lease !== null).length;
    if (atKill || leased < 2 || !list.segments.some(({ finished }) => finished)) return;
    atKill = list;
    process.kill(worker.pid, 'SIGKILL');
  });
  const holds = await report(bench, 'two, one killed', made, whole);
  const kept = atKill?.segments.every(
    ({ finished }, index) => !finished || finished.key === made.list?.segments[index]?.finished?.key,
  );
  const again = countLeases(made.list) - (made.list?.segments.length ?? 0);
  console.log(`\nfinished segments kept after the kill: ${kept}; segments rendered again: ${again}`);
  return holds && kept === true && again <= 1;
}

/** Files of leases: a list also names three shared files. */
function countLeases(list: SegmentList | undefined): number {
  return list ? list.keys.filter((key) => key.endsWith('.mp4')).length : 0;
}

async function report(bench: Bench, name: string, made: Made, whole: Made): Promise<boolean> {
  const [frames, wholeFrames] = await Promise.all([made, whole].map(({ path }) => countFrames(path)));
  const [sound, wholeSound] = await Promise.all([made, whole].map(({ path }) => soundOf(path)));
  const loss = made === whole ? 0 : await lossAtSeams(bench, made, whole);
  const cells = [
    name,
    frames,
    made.list?.segments.length ?? 1,
    countLeases(made.list),
    (made.wallMs / 1_000).toFixed(1),
    (whole.wallMs / made.wallMs).toFixed(2),
    sound === wholeSound,
    loss.toFixed(4),
  ];
  console.log(`| ${cells.join(' | ')} |`);
  const isSplit = made === whole || (made.list?.segments.length ?? 0) > 1;
  return isSplit && frames === wholeFrames && sound === wholeSound && loss >= -largestLoss;
}

async function countFrames(path: string): Promise<number> {
  const { stdout } = await execute('ffprobe', [
    '-v',
    'error',
    '-count_packets',
    '-select_streams',
    'v',
    '-show_entries',
    'stream=nb_read_packets',
    '-of',
    'csv=p=0',
    path,
  ]);
  return Number(stdout);
}

/** Digest of the decoded samples. */
async function soundOf(path: string): Promise<string> {
  return (await execute('ffmpeg', ['-v', 'error', '-i', path, '-map', '0:a', '-f', 'md5', '-'])).stdout;
}

/** The smallest difference between the SSIM to the clip of both takes, over the frames around the seams. */
async function lossAtSeams({ sample }: Bench, made: Made, whole: Made): Promise<number> {
  const [ofMade, ofWhole] = await Promise.all([made, whole].map(({ path }) => ssimPerFrame(path, sample.videoPath)));
  const seams = made.list?.segments.slice(1).map(({ start }) => start) ?? [];
  const around = seams.flatMap((seam) =>
    Array.from({ length: 2 * framesAroundSeam }, (_, index) => seam - framesAroundSeam + index),
  );
  return Math.min(...around.map((frame) => (ofMade?.[frame] ?? 0) - (ofWhole?.[frame] ?? 1)));
}

async function ssimPerFrame(path: string, otherPath: string): Promise<readonly number[]> {
  const { stdout } = await execute(
    'ffmpeg',
    ['-v', 'error', '-i', path, '-i', otherPath, '-lavfi', '[0:v][1:v]ssim=f=-', '-f', 'null', '-'],
    { maxBuffer: 2 ** 26 },
  );
  return Array.from(stdout.matchAll(/All:([\d.]+)/g), ([, value]) => Number(value));
}
