import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { probeTake, readSpeech } from '../../packages/lipsync-core/src/media/index.ts';
import { writeMeterModel } from '../../packages/lipsync-core/src/testing/instructive-models.ts';
import { bestLag } from '../../packages/lipsync-core/src/testing/lip-judge.ts';
import { expectedMeter, melLevels, meterDelayMs, readMeter } from '../../packages/lipsync-core/src/testing/meter-judge.ts';
import { openWav2LipStudio, type Wav2LipStudio } from '../../packages/lipsync-core/src/testing/wav2lip-studio.ts';
import { samplePaths } from './scratch-stack.ts';

const rates = ['24000/1001', '25', '30000/1001', '30', '50', '60'] as const;
const clipSeconds = 7;
const windowStartMs = -40;
const maxLagFrames = 5;
const longestMs = 20 * 60_000;
/** Grey by which a frame may differ from what it owes: a column of sound more or less, and the encoder. */
const allowedError = 0.04;
/** Chunks begin on whole columns of 12.5 ms. */
const allowedDelayMs = 12.5;

interface Row {
  readonly cells: readonly (string | number)[];
  readonly holds: boolean;
}

/** At each rate a model paints how loud the sound is that it was given: every frame of the take must show its own time's. */
export async function proveWav2LipSync(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-sync-'));
  const studio = openWav2LipStudio(folder);
  try {
    const modelPath = join(folder, 'meter.onnx');
    await writeMeterModel(modelPath, { cropSizePx: 96 });
    console.log('| frames per second | frames | expected | lag, frames | correlation | largest error | mean error | picture late by, ms | sound − picture, ms | holds |');
    console.log('|---|---|---|---|---|---|---|---|---|---|');
    let holds = true;
    for (const rate of rates) {
      const row = await judgeRate(studio, { folder, modelPath, rate });
      console.log(`| ${row.cells.join(' | ')} | ${row.holds} |`);
      holds &&= row.holds;
    }
    return holds;
  } finally {
    await studio.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function judgeRate(studio: Wav2LipStudio, { folder, modelPath, rate }: { folder: string; modelPath: string; rate: string }): Promise<Row> {
  const name = rate.replace('/', '-');
  const clipPath = await clipAt(rate, join(folder, `clip-${name}.mp4`));
  const made = await studio.make({ name, clipPath, speechPath: samplePaths.audioPath, modelPath, windowStartMs });
  const track = await studio.trackOf({ ...made, clipPath });
  const greys = await readMeter(made, track).finally(() => track.close());
  const take = await probeTake(made.takePath);
  const levels = melLevels(await soundOf(samplePaths.audioPath));
  const { frameRate, frameCount } = made.timeline;
  const expected = expectedMeter(levels, frameRate, frameCount, windowStartMs);
  const errors = [...expected].map((grey, index) => Math.abs(grey - (greys[index] ?? NaN)));
  const largest = Math.max(...errors);
  const { lag, r } = greys.length === frameCount ? bestLag(expected, greys, maxLagFrames) : { lag: NaN, r: NaN };
  const delayMs = meterDelayMs(greys, levels, frameRate, windowStartMs);
  const soundMinusPictureMs = (take.audioDurationMs ?? NaN) - take.videoDurationMs;
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return {
    cells: [rate, greys.length, frameCount, lag, r.toFixed(4), largest.toFixed(3), mean.toFixed(4), delayMs, soundMinusPictureMs.toFixed(1)],
    holds: greys.length === frameCount && lag === 0 && largest < allowedError && Math.abs(delayMs) <= allowedDelayMs
      && Math.abs(soundMinusPictureMs) <= (1000 * frameRate.denominator) / frameRate.numerator,
  };
}

async function clipAt(rate: string, path: string): Promise<string> {
  const { videoPath } = samplePaths;
  const limits = ['-nostdin', '-v', 'error', '-y', '-stream_loop', '-1', '-i', videoPath, '-t', String(clipSeconds)];
  await promisify(execFile)('ffmpeg', [...limits, '-vf', 'scale=640:-2', '-r', rate, '-an', '-preset', 'veryfast', '-crf', '18', path], { timeout: longestMs });
  return path;
}

async function soundOf(path: string): Promise<Float32Array> {
  const samples: number[] = [];
  for await (const chunk of readSpeech(path)) for (const sample of chunk) samples.push(sample);
  return Float32Array.from(samples);
}
