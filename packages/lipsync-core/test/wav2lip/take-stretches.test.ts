import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clipFrameAt, readSpeech } from '../../src/media/index.ts';
import { writeMeterModel } from '../../src/testing/wav2lip-models.ts';
import { expectedMeter, melLevels, readMeter } from '../../src/testing/sync-metrics.ts';
import { Wav2LipHarness } from '../../src/testing/wav2lip-harness.ts';
import { makeMedia, x264 } from '../media/make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
/** Frames of the clip: a shot of the presenter, an empty shot, the mirrored presenter. */
const [firstShot, emptyShot, lastShot] = [20, 12, 15];
const longestMs = 120_000;
const closeGray = 0.04;

let folder: string;
let harness: Wav2LipHarness;
let clipPath: string;
let speechPath: string;
let modelPath: string;
let levels: Float32Array;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-stretches-'));
  harness = new Wav2LipHarness(folder);
  const shots = `scale=480:-2,fps=25,split[a][b];[a]trim=end_frame=${firstShot},tpad=stop=${emptyShot}:color=gray[front];[b]trim=end_frame=${lastShot},hflip[back];[front][back]concat`;
  clipPath = await makeMedia(
    '-t',
    '2',
    '-i',
    join(samples, 'presenter.mp4'),
    '-filter_complex',
    shots,
    ...x264,
    '-an',
    join(folder, 'clip.mp4'),
  );
  speechPath = await makeMedia('-t', '3.2', '-i', join(samples, 'speech.wav'), join(folder, 'speech.wav'));
  modelPath = join(folder, 'meter.onnx');
  await writeMeterModel(modelPath, { cropSizePx: 96 });
  const sound: number[] = [];
  for await (const chunk of readSpeech(speechPath, { streamIndex: 0 })) sound.push(...chunk);
  levels = melLevels(Float32Array.from(sound));
});

afterAll(async () => {
  await harness.close();
  await rm(folder, { recursive: true, force: true });
});

it.each(['loop', 'bounce'] as const)(
  'A clip with two shots and a gap without a face, in mode %s, has every face drawn from its own speech and a warning about the gap.',
  { timeout: longestMs },
  async (syncMode) => {
    const made = await harness.makeTake({ name: syncMode, clipPath, speechPath, modelPath, syncMode, batchSize: 7 });
    const track = await harness.openTrack({ ...made, clipPath });
    const grays = await readMeter(made, track).finally(() => track.close());
    const { frameRate, frameCount } = made.timeline;
    const expected = expectedMeter(levels, frameCount, { frameRate, windowStartMs: 0 });
    expect(made.clip.frameCount).toBe(firstShot + emptyShot + lastShot);
    expect(grays).toHaveLength(80);
    for (const [index, gray] of grays.entries()) {
      const clipFrame = clipFrameAt(made.timeline, index);
      const isEmpty = clipFrame >= firstShot && clipFrame < firstShot + emptyShot;
      if (isEmpty) expect(gray).toBeNaN();
      else expect(Math.abs(gray - (expected[index] ?? NaN))).toBeLessThan(closeGray);
    }
    expect(made.report.warnings.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      expect.stringMatching(/^frames_without_face: 12 frames .* 0\.80–1\.28 s of the clip\.$/),
    ]);
  },
);
