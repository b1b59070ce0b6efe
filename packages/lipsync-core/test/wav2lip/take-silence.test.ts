import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SilenceMode } from '../../src/contract/index.ts';
import type { FaceTrack } from '../../src/face/index.ts';
import { openFrames, probeClip, readSpeech, type Timeline } from '../../src/media/index.ts';
import { placeFace, FaceCropper } from '../../src/providers/wav2lip/picture/face-crop.ts';
import { findMostClosedMouth } from '../../src/providers/wav2lip/redraw/tracked-mouths.ts';
import { readMouthCurve } from '../../src/audio/index.ts';
import { writeIdentityModel, writeMeterModel, type TestModelOptions } from '../../src/testing/wav2lip-models.ts';
import { expectedMeter, melLevels, readMeter } from '../../src/testing/sync-metrics.ts';
import { Wav2LipHarness, type MadeTake } from '../../src/testing/wav2lip-harness.ts';
import { limits, makeMedia, x264 } from '../media/make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const cropSizePx = 96;
const longestMs = 180_000;
/** Tolerances for encoding: luma of a mouth from 0 to 1, levels of a crop from 0 to 255. */
const encoderGray = 0.03;
const encoderLevels = 6;

let folder: string;
let harness: Wav2LipHarness;
let clipPath: string;
let speechPath: string;
/** The clip with the speech, encoded without pasting. */
let untouched: string;

/** Speech, a pause of one second, speech. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-silence-'));
  harness = new Wav2LipHarness(folder);
  clipPath = await makeMedia(
    '-t',
    '3',
    '-i',
    join(samples, 'presenter.mp4'),
    '-vf',
    'scale=480:-2',
    ...x264,
    '-an',
    join(folder, 'clip.mp4'),
  );
  const [speech, words] = [join(samples, 'speech.wav'), join(folder, 'speech.wav')];
  speechPath = await makeMedia(
    '-t',
    '1',
    '-i',
    speech,
    '-ss',
    '2',
    '-t',
    '0.7',
    '-i',
    speech,
    '-filter_complex',
    '[0]apad=pad_dur=1[a];[a][1]concat=v=0:a=1',
    words,
  );
  untouched = await harness.makePassThrough({ name: 'untouched', clipPath, speechPath });
});

afterAll(async () => {
  await harness.close();
  await rm(folder, { recursive: true, force: true });
});

interface Scene {
  readonly made: MadeTake;
  readonly track: FaceTrack;
  readonly voiced: Float32Array;
}

async function sceneOf(
  silenceMode: SilenceMode,
  write: (path: string, model: TestModelOptions) => Promise<void>,
): Promise<Scene> {
  const modelPath = join(folder, `${silenceMode}.onnx`);
  await write(modelPath, { cropSizePx });
  const made = await harness.makeTake({ name: silenceMode, clipPath, speechPath, modelPath, silenceMode });
  const { voiced } = await readMouthCurve(made.mouthCurvePath, made.timeline.frameCount);
  return { made, voiced, track: await harness.openTrack({ ...made, clipPath }) };
}

/** The mouth in each frame of a video, located by the faces of the clip: the lower middle of the crop. */
async function mouthsOf(path: string, track: FaceTrack, { frameCount }: Timeline): Promise<Uint8Array[]> {
  const facts = await probeClip(path, { limits });
  const mouths: Uint8Array[] = [];
  const cropper = new FaceCropper({ cropSizePx, color: facts.color });
  const crop = new Uint8Array(cropSizePx * cropSizePx * 3);
  for await (const frame of openFrames({ path, facts, range: { start: 0, end: frameCount } })) {
    cropper.crop(frame, placeFace(track.frame(frame.index).points), crop);
    mouths.push(mouthOf(crop));
  }
  return mouths;
}

function mouthOf(crop: Uint8Array): Uint8Array {
  const rows = Array.from({ length: 20 }, (_, row) =>
    crop.subarray(((row + 60) * cropSizePx + 34) * 3, ((row + 60) * cropSizePx + 62) * 3),
  );
  return Uint8Array.from(rows.flatMap((row) => [...row]));
}

function difference(one: Uint8Array, other: Uint8Array): number {
  return one.reduce((sum, value, index) => sum + Math.abs(value - (other[index] ?? NaN)), 0) / one.length;
}

/** Throws for an empty list, for which every assertion would hold. */
function largest(values: readonly number[]): number {
  if (values.length === 0) throw new Error('No frame of the requested kind.');
  return Math.max(...values);
}

/** Requires frames of the pause, of the speech and of the transitions. */
function expectEveryKind(voiced: Float32Array): void {
  expect(voiced.filter((share) => share === 0).length).toBeGreaterThan(15);
  expect(voiced.filter((share) => share === 1).length).toBeGreaterThan(15);
  expect(voiced.filter((share) => share > 0 && share < 1).length).toBeGreaterThan(1);
}

describe('Pauses in the speech', { timeout: longestMs }, () => {
  it('A pause in keep mode shows the original clip and fades in and out over several frames.', async () => {
    const { made, track, voiced } = await sceneOf('keep', writeMeterModel);
    const drawn = await readMeter(made, track);
    const source = await readMeter({ takePath: untouched, timeline: made.timeline }, track);
    track.close();
    const samplesOfSpeech: number[] = [];
    for await (const chunk of readSpeech(speechPath, { streamIndex: 0 })) samplesOfSpeech.push(...chunk);
    const { frameRate, frameCount } = made.timeline;
    const painted = expectedMeter(melLevels(Float32Array.from(samplesOfSpeech)), frameCount, {
      frameRate,
      windowStartMs: 0,
    });
    const indexes = [...voiced.keys()];
    const owed = indexes.map(
      (index) => (voiced[index] ?? 0) * (painted[index] ?? 0) + (1 - (voiced[index] ?? 0)) * (source[index] ?? 0),
    );
    const errorWhere = (isMeant: (share: number) => boolean): number =>
      largest(
        indexes
          .filter((index) => isMeant(voiced[index] ?? NaN))
          .map((index) => Math.abs((drawn[index] ?? NaN) - (owed[index] ?? NaN))),
      );
    expectEveryKind(voiced);
    expect(errorWhere((share) => share === 0)).toBeLessThan(encoderGray);
    expect(errorWhere((share) => share === 1)).toBeLessThan(2 * encoderGray);
    expect(errorWhere((share) => share > 0 && share < 1)).toBeLessThan(2 * encoderGray);
    expect(
      largest(indexes.slice(1).map((index) => Math.abs((voiced[index] ?? 0) - (voiced[index - 1] ?? 0)))),
    ).toBeLessThan(0.7);
  });

  it('A pause in close mode shows the most closed mouth of the clip.', async () => {
    const { made, track, voiced } = await sceneOf('close', writeIdentityModel);
    const [drawn, source, clip] = [
      await mouthsOf(made.takePath, track, made.timeline),
      await mouthsOf(untouched, track, made.timeline),
      await mouthsOf(clipPath, track, made.timeline),
    ];
    const tracked = { ...track, ready: () => Promise.resolve() };
    const closed = clip[(await findMostClosedMouth(tracked, made.timeline.frameCount)) ?? NaN];
    track.close();
    if (!closed) throw new Error('No frame of the sample shows a face.');
    const distances = (
      isMeant: (share: number) => boolean,
      from: readonly Uint8Array[],
      to: (index: number) => Uint8Array | undefined,
    ): number[] =>
      from.flatMap((mouth, index) => (isMeant(voiced[index] ?? NaN) ? [difference(mouth, to(index) ?? mouth)] : []));
    expectEveryKind(voiced);
    const inPause = (share: number): boolean => share === 0;
    expect(largest(distances(inPause, drawn, () => closed))).toBeLessThan(encoderLevels);
    expect(largest(distances(inPause, source, () => closed))).toBeGreaterThan(2 * encoderLevels);
    expect(
      largest(
        distances(
          (share) => share === 1,
          drawn,
          (index) => source[index],
        ),
      ),
    ).toBeLessThan(encoderLevels);
  });
});
