import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { mfccCount } from '../../packages/lipsync-core/src/audio/mfcc.ts';
import { loadSession, type OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { probeClip } from '../../packages/lipsync-core/src/media/index.ts';
import {
  chooseStretches,
  syncFramesPerSecond,
} from '../../packages/lipsync-core/src/quality/syncnet/choose-stretches.ts';
import { CodecSpreadMeter } from '../../packages/lipsync-core/src/quality/syncnet/codec-spread.ts';
import { croppedLength } from '../../packages/lipsync-core/src/quality/syncnet/syncnet-crop.ts';
import { measureSync } from '../../packages/lipsync-core/src/quality/syncnet/measure-sync.ts';
import { SyncNetModel } from '../../packages/lipsync-core/src/quality/syncnet/syncnet-model.ts';
import {
  framesInputName,
  mfccInputName,
  windowFrames,
  windowMfccRows,
} from '../../packages/lipsync-core/src/quality/syncnet/syncnet-network.ts';
import { VideoSound } from '../../packages/lipsync-core/src/quality/syncnet/video-sound.ts';
import { writeSeededSyncNet } from '../../packages/lipsync-core/src/testing/syncnet-models.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { describeMachine, type BenchOptions, type Machine } from './bench-job.ts';

const pairs = 3;
const batchWindows = 8;
const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 4096 };

export interface SyncNetBenchResult {
  readonly machine: Machine;
  readonly clip: string;
  /** Windows of pictures and of sounds that are embedded per run. */
  readonly pictures: number;
  readonly sounds: number;
  readonly scoringSeconds: number;
  readonly networksSeconds: number;
  /** Median ratio of the pairs, and their lowest and highest. */
  readonly ratio: number;
  readonly ratioRange: readonly [number, number];
  /** The same ratio in CPU time, including that of ffmpeg. */
  readonly cpuRatio: number;
  /** CPU time of one scoring: that of this process, and that of ffmpeg. */
  readonly ownCpuSeconds: number;
  readonly ffmpegCpuSeconds: number;
  /** CPU time of both networks per second of video at 25 fps. */
  readonly networksCpuPerSecond: number;
}

/**
 * Scores the lengthened sample with the full-size SyncNet (seeded weights), alternating with both networks alone on as
 * many windows. Scoring covers sound, decoding, crops, embeddings, distances, and the windows that are encoded again;
 * not the face track, which every assessment has.
 */
export async function benchSyncNet({ folder, clipSeconds, signal }: BenchOptions): Promise<SyncNetBenchResult> {
  const modelPath = join(folder, 'syncnet.onnx');
  await writeSeededSyncNet(modelPath, { widthDivisor: 1, seed: 1 });
  const { clipPath, speechPath } = await lengthenSample(folder, clipSeconds, signal);
  const path = join(folder, 'spoken.mp4');
  const inputs = ['-nostdin', '-v', 'error', '-i', clipPath, '-i', speechPath];
  await promisify(execFile)('ffmpeg', [...inputs, '-c:v', 'copy', path], { signal });
  const facts = await probeClip(path, { limits, signal });
  const frameCount = Math.round((facts.durationMs * syncFramesPerSecond) / 1000);
  const box = { centerX: facts.width / 2, centerY: facts.height / 2, halfSide: facts.height / 5 };
  const track = { start: 0, boxes: Array.from({ length: frameCount }, () => box) };
  const model = await SyncNetModel.load(modelPath, signal);
  const session = await loadSession(modelPath, { threads: availableParallelism(), spinning: false });
  const counted = countEmbeddings(model);
  const score = async (): Promise<void> => {
    const sound = await VideoSound.read(path, signal);
    const video = { path, facts, sound };
    const options = { soundFrames: sound.frameCount, loudnessAt: (frame: number) => sound.loudnessAt(frame) };
    const stretches = chooseStretches([track], options);
    const [first, ...others] = stretches;
    if (!first) throw new RangeError('The sample has no stretch to score.');
    const spread = new CodecSpreadMeter(video, [first, ...others], { model, signal, workFolder: folder });
    try {
      await spread.measure(await measureSync(video, stretches, { model, signal }));
    } finally {
      await spread.close();
    }
  };
  try {
    await score();
    const { pictures, sounds } = counted;
    const runs: { readonly scoring: Times; readonly networks: Times }[] = [];
    for (let pair = 0; pair < pairs; pair += 1)
      runs.push({ scoring: await time(score), networks: await time(() => runAlone(session, pictures, sounds)) });
    const ratios = runs
      .map(({ scoring, networks }) => scoring.seconds / networks.seconds)
      .toSorted((first, second) => first - second);
    const cpuRatios = runs.map(({ scoring, networks }) => (scoring.own + scoring.ffmpeg) / networks.own);
    return {
      machine: describeMachine(),
      clip: `${facts.width}×${facts.height}, ${clipSeconds} s`,
      pictures,
      sounds,
      scoringSeconds: medianOf(runs.map(({ scoring }) => scoring.seconds)),
      networksSeconds: medianOf(runs.map(({ networks }) => networks.seconds)),
      ratio: medianOf(ratios),
      ratioRange: [ratios[0] ?? 0, ratios.at(-1) ?? 0],
      cpuRatio: medianOf(cpuRatios),
      ownCpuSeconds: medianOf(runs.map(({ scoring }) => scoring.own)),
      ffmpegCpuSeconds: medianOf(runs.map(({ scoring }) => scoring.ffmpeg)),
      networksCpuPerSecond: (medianOf(runs.map(({ networks }) => networks.own)) / pictures) * syncFramesPerSecond,
    };
  } finally {
    await model.release();
    await session.release();
  }
}

/** Counts the windows that a model embeds until the first run alone. */
function countEmbeddings(model: SyncNetModel): { pictures: number; sounds: number } {
  const counted = { pictures: 0, sounds: 0 };
  const embed = model.embed.bind(model);
  model.embed = async (pictures, sounds) => {
    counted.pictures += pictures.length;
    counted.sounds += sounds.length;
    return embed(pictures, sounds);
  };
  return counted;
}

/** Both networks in a tight loop on prepared inputs. */
async function runAlone(session: OnnxSession, pictures: number, sounds: number): Promise<void> {
  const batches = Math.ceil(pictures / batchWindows);
  const perBatch = Math.ceil(sounds / batches);
  for (let batch = 0; batch < batches; batch += 1) {
    const count = Math.min(batchWindows, pictures - batch * batchWindows);
    const windows = Math.max(1, Math.min(perBatch, sounds - batch * perBatch));
    await session.run({
      [framesInputName]: { ...frames, data: frames.data.subarray(0, count * frameLength), dims: [count, 15, 224, 224] },
      [mfccInputName]: { ...mfcc, data: mfcc.data.subarray(0, windows * mfccLength), dims: [windows, 1, 13, 20] },
    });
  }
}

const frameLength = windowFrames * croppedLength;
const mfccLength = mfccCount * windowMfccRows;
const frames = { type: 'float32', data: new Float32Array(batchWindows * frameLength).fill(100) } as const;
const mfcc = { type: 'float32', data: new Float32Array(4 * batchWindows * mfccLength).fill(5) } as const;

interface Times {
  readonly seconds: number;
  /** CPU time of this process and of the programs that it ran. */
  readonly own: number;
  readonly ffmpeg: number;
}

async function time(work: () => Promise<void>): Promise<Times> {
  const [startedMs, startedCpu, startedFfmpeg] = [performance.now(), process.cpuUsage(), await readChildrenCpu()];
  await work();
  const { user, system } = process.cpuUsage(startedCpu);
  return {
    seconds: (performance.now() - startedMs) / 1000,
    own: (user + system) / 1e6,
    ffmpeg: (await readChildrenCpu()) - startedFfmpeg,
  };
}

/** CPU time of the programs that ended, in seconds, as Linux counts it; 0 elsewhere. */
async function readChildrenCpu(): Promise<number> {
  const text = await readFile('/proc/self/stat', 'utf8').catch(() => '');
  const [user = '0', system = '0'] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(13, 15);
  return (Number(user) + Number(system)) / clockTicksPerSecond;
}

const clockTicksPerSecond = 100;

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((first, second) => first - second);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** Formats the measurements as a Markdown table. */
export function syncNetToMarkdown(result: SyncNetBenchResult): string {
  const { machine, clip, pictures, sounds, scoringSeconds, networksSeconds, ratio, ratioRange } = result;
  return [
    `\`syncnet\`, ${clip}, ${machine.cores} cores (${machine.cpu}):`,
    '',
    '| what | figure |',
    '|---|---|',
    `| windows | ${pictures} of pictures, ${sounds} of sounds |`,
    `| scoring | ${scoringSeconds.toFixed(1)} s |`,
    `| both networks alone on these windows | ${networksSeconds.toFixed(1)} s |`,
    `| scoring ÷ networks, median (range of ${pairs} pairs) | ${ratio.toFixed(2)} (${ratioRange.map((value) => value.toFixed(2)).join(' to ')}) |`,
    `| the same in CPU time, with ffmpeg | ${result.cpuRatio.toFixed(2)} |`,
    `| CPU time of scoring: own, ffmpeg | ${result.ownCpuSeconds.toFixed(1)} s, ${result.ffmpegCpuSeconds.toFixed(1)} s |`,
    `| CPU time of the networks per second of video | ${result.networksCpuPerSecond.toFixed(2)} s |`,
  ].join('\n');
}
