import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeMeterModel } from '../../src/testing/wav2lip-models.ts';
import { bestLag, expectedMeter, melLevels, meterDelayMs, readMeter } from '../../src/testing/sync-metrics.ts';
import { Wav2LipHarness } from '../../src/testing/wav2lip-harness.ts';
import { makeMedia, x264 } from '../media/make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const speechSeconds = 2.5;
/** Tolerance of a frame: one mel column, and encoding. */
const closeGray = 0.04;
const columnMs = 12.5;
const longestMs = 120_000;

let folder: string;
let harness: Wav2LipHarness;
let speechPath: string;
let modelPath: string;
let levels: Float32Array;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-timing-'));
  harness = new Wav2LipHarness(folder);
  speechPath = await makeMedia(
    '-ss',
    '0.4',
    '-t',
    String(speechSeconds),
    '-i',
    join(samples, 'speech.wav'),
    join(folder, 'speech.wav'),
  );
  modelPath = join(folder, 'meter.onnx');
  await writeMeterModel(modelPath, { cropSizePx: 96 });
  levels = melLevels(await soundOf(speechPath));
});

afterAll(async () => {
  await harness.close();
  await rm(folder, { recursive: true, force: true });
});

async function soundOf(path: string): Promise<Float32Array> {
  const { stdout } = await promisify(execFile)(
    'ffmpeg',
    ['-v', 'error', '-i', path, '-ac', '1', '-ar', '16000', '-f', 'f32le', '-'],
    { encoding: 'buffer', maxBuffer: 1e9 },
  );
  return new Float32Array(new Uint8Array(stdout).buffer);
}

async function clipAt(rate: string): Promise<string> {
  const name = `clip-${rate.replace('/', '-')}.mp4`;
  return makeMedia(
    '-t',
    '3',
    '-i',
    join(samples, 'presenter.mp4'),
    '-vf',
    'scale=480:-2',
    '-r',
    rate,
    ...x264,
    '-an',
    join(folder, name),
  );
}

it.each([
  ['24000/1001', -40],
  ['60', 0],
])(
  'Every frame at %s fps is drawn from the speech at its own time (window from %i ms).',
  { timeout: longestMs },
  async (rate, windowStartMs) => {
    const clipPath = await clipAt(rate);
    const made = await harness.makeTake({
      name: `meter-${windowStartMs}`,
      clipPath,
      speechPath,
      modelPath,
      windowStartMs,
    });
    const track = await harness.openTrack({ ...made, clipPath });
    const grays = await readMeter(made, track).finally(() => track.close());
    const { frameRate, frameCount } = made.timeline;
    const expected = expectedMeter(levels, frameCount, { frameRate, windowStartMs });
    expect(grays).toHaveLength(frameCount);
    expect(frameCount).toBe(Math.round((speechSeconds * frameRate.numerator) / frameRate.denominator));
    const errors = grays.map((gray, index) => Math.abs(gray - (expected[index] ?? NaN)));
    expect(bestLag(expected, grays, 5)).toMatchObject({ lag: 0, r: expect.closeTo(1, 1) });
    expect(Math.max(...errors)).toBeLessThan(closeGray);
    expect(Math.abs(meterDelayMs(grays, levels, { frameRate, windowStartMs }))).toBeLessThanOrEqual(columnMs);
  },
);
