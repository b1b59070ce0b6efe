import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { probeTake, readSpeech } from '../../packages/lipsync-core/src/media/index.ts';
import { writeMeterModel } from '../../packages/lipsync-core/src/testing/wav2lip-models.ts';
import {
  bestLag,
  expectedMeter,
  melLevels,
  meterDelayMs,
  readMeter,
} from '../../packages/lipsync-core/src/testing/sync-metrics.ts';
import { Wav2LipHarness } from '../../packages/lipsync-core/src/testing/wav2lip-harness.ts';
import { samplePaths } from './scratch-stack.ts';

const shortSeconds = 7;
/** A fractional rate over the longest take, in which drift shows. */
const longTake = { rate: '30000/1001', seconds: 600 };
const takes = [
  ...['24000/1001', '25', '30000/1001', '30', '50', '60'].map((rate) => ({ rate, seconds: shortSeconds })),
  longTake,
];
const windowStartMs = -40;
const maxLagFrames = 5;
const timeLimitMs = 20 * 60_000;
/** Allowed gray difference of a frame: one mel column more or less, and encoder noise. */
const allowedError = 0.04;
/** Chunks start at whole mel columns of 12.5 ms. */
const allowedDelayMs = 12.5;

interface Row {
  readonly cells: readonly (string | number)[];
  readonly holds: boolean;
}

/**
 * At each frame rate, a model paints the loudness of its input. Every frame of the take must show the loudness of the
 * speech at its own time, and picture and sound must be in sync at the start and at the end.
 */
export async function proveWav2LipSync(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-sync-'));
  const harness = new Wav2LipHarness(folder);
  try {
    const modelPath = join(folder, 'meter.onnx');
    await writeMeterModel(modelPath, { cropSizePx: 96 });
    console.log(
      '| frames per second | s | frames | expected | lag, frames | correlation | largest error | mean error | picture late by, ms | at the end, ms | sound − picture, ms | holds |',
    );
    console.log('|---|---|---|---|---|---|---|---|---|---|---|---|');
    let holds = true;
    for (const take of takes) {
      const row = await measureTake(harness, { folder, modelPath, ...take });
      console.log(`| ${row.cells.join(' | ')} | ${row.holds} |`);
      holds &&= row.holds;
    }
    return holds;
  } finally {
    await harness.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureTake(
  harness: Wav2LipHarness,
  { folder, modelPath, rate, seconds }: { folder: string; modelPath: string; rate: string; seconds: number },
): Promise<Row> {
  const name = `${rate.replace('/', '-')}-${seconds}`;
  const { clipPath, speechPath } = await inputsAt(rate, seconds, join(folder, name));
  const made = await harness.makeTake({ name, clipPath, speechPath, modelPath, windowStartMs });
  const track = await harness.openTrack({ ...made, clipPath });
  const grays = await readMeter(made, track).finally(() => track.close());
  const take = await probeTake(made.takePath);
  const { frameRate, frameCount } = made.timeline;
  const expected = expectedMeter(melLevels(await readSamples(speechPath)), frameCount, { frameRate, windowStartMs });
  const errors = expected.map((gray, index) => Math.abs(gray - (grays[index] ?? NaN)));
  const largest = errors.reduce((highest, error) => Math.max(highest, error), 0);
  const { lag, r } = grays.length === frameCount ? bestLag(expected, grays, maxLagFrames) : { lag: NaN, r: NaN };
  const takeLevels = melLevels(await readSamples(made.takePath));
  const measuredFrames = Math.round((shortSeconds * frameRate.numerator) / frameRate.denominator);
  const delayMs = meterDelayMs(grays.subarray(0, measuredFrames), takeLevels, { frameRate, windowStartMs });
  const endDelayMs = meterDelayMs(grays, takeLevels, {
    frameRate,
    windowStartMs,
    firstFrame: Math.max(0, grays.length - measuredFrames),
  });
  const soundMinusPictureMs = (take.audioDurationMs ?? NaN) - take.videoDurationMs;
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return {
    cells: [
      rate,
      seconds,
      grays.length,
      frameCount,
      lag,
      r.toFixed(4),
      largest.toFixed(3),
      mean.toFixed(4),
      delayMs,
      endDelayMs,
      soundMinusPictureMs.toFixed(1),
    ],
    holds:
      grays.length === frameCount &&
      lag === 0 &&
      largest < allowedError &&
      Math.abs(delayMs) <= allowedDelayMs &&
      Math.abs(endDelayMs) <= allowedDelayMs &&
      Math.abs(soundMinusPictureMs) <= (1000 * frameRate.denominator) / frameRate.numerator,
  };
}

/** Writes the sample clip at `rate` and the sample speech, each repeated to `seconds`. */
async function inputsAt(
  rate: string,
  seconds: number,
  path: string,
): Promise<{ clipPath: string; speechPath: string }> {
  const { videoPath, audioPath } = samplePaths;
  const made = { clipPath: `${path}.mp4`, speechPath: `${path}.wav` };
  const ffmpeg = (input: string, ...output: string[]) =>
    promisify(execFile)(
      'ffmpeg',
      ['-nostdin', '-v', 'error', '-y', '-stream_loop', '-1', '-i', input, '-t', String(seconds), ...output],
      { timeout: timeLimitMs },
    );
  await ffmpeg(videoPath, '-vf', 'scale=640:-2', '-r', rate, '-an', '-preset', 'veryfast', '-crf', '18', made.clipPath);
  await ffmpeg(audioPath, made.speechPath);
  return made;
}

async function readSamples(path: string): Promise<Float32Array> {
  const samples: number[] = [];
  for await (const chunk of readSpeech(path, { streamIndex: 0 })) for (const sample of chunk) samples.push(sample);
  return Float32Array.from(samples);
}
