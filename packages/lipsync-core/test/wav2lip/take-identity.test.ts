import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { FaceTrack } from '../../src/face/index.ts';
import {
  clipFrameAt,
  openFrames,
  probeClip,
  type ClipFacts,
  type Frame,
  type Timeline,
} from '../../src/media/index.ts';
import { placeFace } from '../../src/providers/wav2lip/picture/face-crop.ts';
import { writeIdentityModel } from '../../src/testing/wav2lip-models.ts';
import { ssimOutside } from '../../src/image/ssim.ts';
import { Wav2LipHarness } from '../../src/testing/wav2lip-harness.ts';
import { limits, makeMedia } from '../media/make-media.ts';
import { lumaSquare, mouthSquare } from './picture-face.ts';

const presenter = join(import.meta.dirname, '..', '..', '..', '..', 'samples', 'presenter.mp4');
const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const clips =
  clipsFolder === undefined
    ? []
    : readdirSync(clipsFolder)
        .filter((name) => /\.(mp4|avi|png)$/.test(name))
        .map((name) => join(clipsFolder, name));
const speechSeconds = 0.6;
const longestMs = 180_000;

let folder: string;
let harness: Wav2LipHarness;
let speechPath: string;
let modelPath: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-identity-'));
  harness = new Wav2LipHarness(folder);
  speechPath = await makeMedia(
    '-t',
    String(speechSeconds),
    '-i',
    join(presenter, '..', 'speech.wav'),
    join(folder, 'speech.wav'),
  );
  modelPath = join(folder, 'identity.onnx');
  await writeIdentityModel(modelPath, { cropSizePx: 384 });
});

afterAll(async () => {
  await harness.close();
  await rm(folder, { recursive: true, force: true });
});

async function* framesOf(path: string, facts: ClipFacts, timeline: Timeline): AsyncGenerator<Frame> {
  yield* openFrames({ path, facts, timeline, workFolder: folder });
}

/** Mean similarity between the mouths of a take and of the clip, frame by frame. */
async function likeness(
  takePath: string,
  clipPath: string,
  { clip, timeline, track }: { clip: ClipFacts; timeline: Timeline; track: FaceTrack },
): Promise<number> {
  const take = await probeClip(takePath, { limits });
  const source = framesOf(clipPath, clip, timeline);
  const likenesses: number[] = [];
  for await (const made of framesOf(takePath, take, {
    ...timeline,
    windowStart: 0,
    windowLength: timeline.frameCount,
    syncMode: 'cut_off',
  })) {
    const original = await source.next();
    const { presence, points } = track.frame(clipFrameAt(timeline, made.index) - timeline.windowStart);
    if (original.done || presence === 'absent') continue;
    const square = mouthSquare(made, placeFace(points));
    likenesses.push(
      ssimOutside({
        a: lumaSquare(original.value, square),
        b: lumaSquare(made, square),
        width: square.size,
        height: square.size,
      }),
    );
  }
  await source.return(undefined);
  return likenesses.reduce((sum, value) => sum + value, 0) / likenesses.length;
}

async function compare(clipPath: string): Promise<{ readonly drawn: number; readonly encodedOnly: number }> {
  const made = await harness.makeTake({ name: 'drawn', clipPath, speechPath, modelPath });
  const untouched = await harness.makePassThrough({ name: 'untouched', clipPath, speechPath });
  const track = await harness.openTrack({ ...made, clipPath });
  try {
    return {
      drawn: await likeness(made.takePath, clipPath, { ...made, track }),
      encodedOnly: await likeness(untouched, clipPath, { ...made, track }),
    };
  } finally {
    track.close();
  }
}

it.skipIf(clips.length === 0).each(clips.length === 0 ? [presenter] : clips)(
  'An identity model lowers the similarity of the mouth in a take of %s by less than 0.01 beyond encoding.',
  { timeout: longestMs },
  async (clipPath) => {
    const { drawn, encodedOnly } = await compare(clipPath);
    expect(encodedOnly).toBeGreaterThan(0.9);
    expect(drawn).toBeGreaterThan(encodedOnly - 0.01);
  },
);
