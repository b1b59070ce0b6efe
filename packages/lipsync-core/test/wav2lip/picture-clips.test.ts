import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { createFaceDetector, trackFaces, type FaceDetector } from '../../src/face/index.ts';
import { openFrames, probeClip, type ColorTags, type Picture } from '../../src/media/index.ts';
import { FaceModel } from '../../src/providers/wav2lip/engine/face-model.ts';
import { describeWav2LipModel } from '../../src/providers/wav2lip/model/model-facts.ts';
import { FaceCropper, placeFace, type FacePlacement } from '../../src/providers/wav2lip/picture/face-crop.ts';
import { FacePaster } from '../../src/providers/wav2lip/picture/paste-face.ts';
import { ssimOutside } from '../../src/image/ssim.ts';
import { writeSeededWav2Lip } from '../../src/testing/wav2lip-models.ts';
import { limits, makeMedia, temporaryFolder } from '../media/make-media.ts';
import { copyOf, lumaSquare, mouthSquare } from './picture-face.ts';

const presenter = fileURLToPath(new URL('../../../../samples/presenter.mp4', import.meta.url));
const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const clips = clipsFolder === undefined ? [] : readdirSync(clipsFolder).filter((name) => /\.(mp4|avi|png)$/.test(name));
const execute = promisify(execFile);
const frameCount = 5;

let detector: FaceDetector;

beforeAll(async () => {
  detector = await createFaceDetector();
});

afterAll(async () => {
  await detector.close();
});

interface TrackedPicture {
  readonly picture: Picture;
  readonly points: Float32Array;
  readonly placement: FacePlacement;
  readonly color: ColorTags;
}

const tracked = new Map<string, Promise<readonly TrackedPicture[]>>();

/** The first frames of a clip that show a face. Each clip is tracked once for all tests, which do not modify them. */
function trackedPictures(path: string): Promise<readonly TrackedPicture[]> {
  const pictures = tracked.get(path) ?? trackPictures(path);
  tracked.set(path, pictures);
  return pictures;
}

async function trackPictures(path: string): Promise<readonly TrackedPicture[]> {
  const folder = await temporaryFolder();
  const clip = await probeClip(path, { limits });
  const range = { start: 0, end: Math.min(frameCount, clip.frameCount) };
  const signal = AbortSignal.timeout(60_000);
  const track = await trackFaces({
    clipPath: path,
    clipDigest: randomUUID(),
    clip,
    range,
    detector,
    cacheDir: join(folder, 'cache'),
    workDir: folder,
    signal,
    onProgress: () => undefined,
  });
  const pictures: TrackedPicture[] = [];
  for await (const { index, width, height, data } of openFrames({ path, facts: clip, range, signal })) {
    const { points, presence } = track.frame(index);
    if (presence !== 'absent')
      pictures.push({
        picture: { width, height, data: data.slice() },
        points,
        placement: placeFace(points),
        color: clip.color,
      });
  }
  track.close();
  return pictures;
}

/** SSIM around the mouth after cropping a face and pasting it back unchanged. */
function ssimOfRoundTrip(cropSizePx: number, { picture, points, placement, color }: TrackedPicture): number {
  const after = copyOf(picture);
  const crop = new Uint8Array(cropSizePx * cropSizePx * 3);
  new FaceCropper({ cropSizePx, color }).crop(picture, placement, crop);
  new FacePaster({ cropSizePx, color, colorMatch: false, sharpen: false }).paste({
    picture: after,
    points,
    placement,
    source: crop,
    generated: crop,
    strength: 1,
  });
  expect(after.data).not.toEqual(picture.data);
  const square = mouthSquare(picture, placement);
  return ssimOutside({
    a: lumaSquare(picture, square),
    b: lumaSquare(after, square),
    width: square.size,
    height: square.size,
  });
}

/** Baseline: SSIM after ffmpeg scales the upright box to 96 × 96 and back. */
async function ssimOfResampling({ picture, placement }: TrackedPicture, folder: string): Promise<number> {
  const { width, height } = picture;
  const boxWidth = Math.min(width, Math.round(placement.width));
  const boxHeight = Math.min(height, Math.round(placement.height));
  const left = Math.max(0, Math.min(width - boxWidth, Math.round(placement.centerX - boxWidth / 2)));
  const top = Math.max(0, Math.min(height - boxHeight, Math.round(placement.centerY - boxHeight / 2)));
  const input = join(folder, 'luma.raw');
  const output = join(folder, 'resampled.raw');
  await writeFile(input, picture.data.subarray(0, width * height));
  const filter = `crop=${boxWidth}:${boxHeight}:${left}:${top}:exact=1,scale=96:96:flags=area,scale=${boxWidth}:${boxHeight}:flags=bicubic`;
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'gray'];
  await execute('ffmpeg', [
    '-nostdin',
    '-loglevel',
    'error',
    '-y',
    ...raw,
    '-s',
    `${width}x${height}`,
    '-i',
    input,
    '-vf',
    filter,
    ...raw,
    output,
  ]);
  const resampled = await readFile(output);
  const after = copyOf(picture);
  for (let row = 0; row < boxHeight; row += 1)
    after.data.set(resampled.subarray(row * boxWidth, (row + 1) * boxWidth), (top + row) * width + left);
  const square = mouthSquare(picture, placement);
  return ssimOutside({
    a: lumaSquare(picture, square),
    b: lumaSquare(after, square),
    width: square.size,
    height: square.size,
  });
}

async function expectPreserved(path: string): Promise<void> {
  const pictures = await trackedPictures(path);
  const folder = await temporaryFolder();
  expect(pictures.length).toBeGreaterThan(0);
  for (const picture of pictures) expect(ssimOfRoundTrip(384, picture)).toBeGreaterThan(0.99);
  const [first] = pictures;
  if (first) expect(ssimOfRoundTrip(96, first)).toBeGreaterThan((await ssimOfResampling(first, folder)) - 0.005);
}

describe('Face round trip on real clips', () => {
  it('The presenter clip is preserved.', () => expectPreserved(presenter));

  it.each([
    [
      '10-bit HEVC',
      ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=error', '-pix_fmt', 'yuv420p10le'],
    ],
    [
      'full-range H.264',
      [
        '-vf',
        'scale=out_range=full',
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
        '-pix_fmt',
        'yuvj420p',
        '-color_range',
        'pc',
      ],
    ],
  ])('The presenter clip is preserved as %s.', async (_, encoding) => {
    const path = await makeMedia(
      '-i',
      presenter,
      '-frames:v',
      String(frameCount),
      '-an',
      ...encoding,
      join(await temporaryFolder(), 'presenter.mp4'),
    );
    await expectPreserved(path);
  });

  it.skipIf(clips.length === 0)(
    'Every clip in LIPSYNC_TEST_CLIPS_DIR is preserved.',
    { timeout: 120_000 },
    async () => {
      for (const name of clips) await expectPreserved(join(clipsFolder ?? '', name));
    },
  );
});

describe('Face box on real clips', () => {
  it.skipIf(clips.length === 0)('The face box of a still head does not jitter.', async () => {
    const placements = (await trackedPictures(join(clipsFolder ?? '', 'silent-704x1216-25fps.mp4'))).map(
      ({ placement }) => placement,
    );
    expect(placements).toHaveLength(frameCount);
    for (let index = 2; index < placements.length; index += 1) {
      for (const measure of ['centerX', 'centerY', 'width', 'height'] as const) {
        const secondDifference =
          (placements[index]?.[measure] ?? NaN) -
          2 * (placements[index - 1]?.[measure] ?? NaN) +
          (placements[index - 2]?.[measure] ?? NaN);
        expect(Math.abs(secondDifference)).toBeLessThan(0.7);
      }
    }
  });
});

describe('Rows of generated faces on real clips', () => {
  it.skipIf(clips.length === 0)(
    'A face drawn from the first needed row on equals the whole face there, and the pasted picture is the same.',
    { timeout: 120_000 },
    async () => {
      const modelPath = join(await temporaryFolder(), 'wav2lip.onnx');
      await writeSeededWav2Lip(modelPath, { widthDivisor: 1, seed: 1 });
      const session = await loadSession(modelPath, { threads: 2, spinning: false });
      onTestFinished(() => session.release());
      const model = new FaceModel(session, describeWav2LipModel(session));
      for (const name of clips) {
        const [first] = await trackedPictures(join(clipsFolder ?? '', name));
        if (!first) throw new Error(`${name} shows no face`);
        await expectEqualRows(model, first);
      }
    },
  );
});

async function expectEqualRows(model: FaceModel, { picture, points, placement, color }: TrackedPicture): Promise<void> {
  const cropSizePx = 96;
  const faces = new Uint8Array(cropSizePx * cropSizePx * 3);
  new FaceCropper({ cropSizePx, color }).crop(picture, placement, faces);
  const pasterOf = (): FacePaster => new FacePaster({ cropSizePx, color, colorMatch: true, sharpen: true });
  const startRow = pasterOf().firstRow(placement, points);
  expect(startRow).toBeGreaterThanOrEqual(32);
  const mel = Float32Array.from({ length: 80 * 16 }, (_, index) => 4 * Math.sin(index));
  const drawFrom = async (row: number): Promise<Uint8Array> =>
    (await model.draw({ count: 1, mel, faces, references: faces, startRow: row }, 1)).faces;
  const [whole, drawn] = [await drawFrom(0), await drawFrom(startRow)];
  const needed = startRow * cropSizePx * 3;
  const differences = drawn.subarray(needed).map((level, index) => Math.abs(level - (whole[needed + index] ?? NaN)));
  // A value next to the border between two levels may round to the other one.
  expect(Math.max(...differences)).toBeLessThanOrEqual(1);
  expect(differences.filter((difference) => difference > 0).length).toBeLessThan(10);
  const paste = (generated: Uint8Array): Uint8Array => {
    const after = copyOf(picture);
    pasterOf().paste({ picture: after, points, placement, source: faces, generated, strength: 1 });
    return after.data;
  };
  // Rounding aside, only the rows above differ.
  drawn.set(whole.subarray(needed), needed);
  expect(drawn).not.toEqual(whole);
  expect(Buffer.compare(paste(whole), paste(drawn))).toBe(0);
}
