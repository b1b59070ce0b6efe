import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { labelCorners, labelLanguages } from '../../src/contract/index.ts';
import type { PixelArea } from '../../src/image/planes.ts';
import { labelAreaOf, labelTake, openTake, type TakeLabel } from '../../src/media/index.ts';
import { coverLabel } from '../../src/quality/assessment/label-cover.ts';
import { limits, makeMedia, temporaryFolder, x264 } from './make-media.ts';

const [width, height] = [320, 240];
const frameBytes = (width * height * 3) / 2;
const color = {};
const label: TakeLabel = { language: 'en', corner: 'bottom_right' };
const run = promisify(execFile);

/** The frames of a video as I420. */
async function framesOf(path: string): Promise<readonly Buffer[]> {
  const decode = ['-nostdin', '-v', 'error', '-i', path, '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-'];
  const { stdout } = await run('ffmpeg', decode, { encoding: 'buffer', maxBuffer: 100 * frameBytes });
  return Array.from({ length: stdout.length / frameBytes }, (_, index) =>
    stdout.subarray(index * frameBytes, (index + 1) * frameBytes),
  );
}

/** Brightest and darkest luma of an area. */
function rangeOf(frame: Buffer, { left, top, right, bottom }: PixelArea) {
  const values = Array.from({ length: bottom - top }, (_, row) => [
    ...frame.subarray((top + row) * width + left, (top + row) * width + right),
  ]).flat();
  return { darkest: values.reduce((a, b) => Math.min(a, b)), brightest: values.reduce((a, b) => Math.max(a, b)) };
}

const isLabeled = (frame: Buffer, area: PixelArea): boolean => {
  const { darkest, brightest } = rangeOf(frame, area);
  return darkest < 90 && brightest > 200;
};

describe('The visible label', () => {
  it('It lies within the picture in every language, corner and shape.', () => {
    for (const language of labelLanguages)
      for (const corner of labelCorners)
        for (const size of [
          { width: 64, height: 64 },
          { width: 1280, height: 720 },
          { width: 64, height: 2048 },
        ]) {
          const { left, top, right, bottom } = labelAreaOf({ language, corner }, size);
          expect([left % 2, top % 2, right % 2, bottom % 2]).toEqual([0, 0, 0, 0]);
          expect(left >= 0 && top >= 0 && left < right && top < bottom).toBe(true);
          expect(right <= size.width && bottom <= size.height).toBe(true);
        }
  });

  it('The encoder draws it in the first two seconds, and leaves the rest of the picture as it is.', async () => {
    const path = join(await temporaryFolder(), 'take.mp4');
    const frameRate = { numerator: 25, denominator: 1 };
    const take = openTake({ path, width, height, frameRate, frameCount: 60, color, label });
    for (let index = 0; index < 60; index += 1) await take.write(Buffer.alloc(frameBytes, 128));
    await take.finish();
    const frames = await framesOf(path);
    const area = labelAreaOf(label, { width, height });
    expect(frames.map((frame) => isLabeled(frame, area))).toEqual(frames.map((_, index) => index < 50));
    const [first = Buffer.alloc(0)] = frames;
    const above = rangeOf(first, { left: 0, top: 0, right: width, bottom: area.top - 16 });
    expect(above.brightest - above.darkest).toBeLessThanOrEqual(4);
  });

  it('A copy of a vendor take has it, with every frame and the same sound.', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'take.mp4');
    const inputs = ['-f', 'lavfi', '-i', `color=gray:s=${width}x${height}:r=25:d=3`, '-f', 'lavfi', '-i', 'sine=d=3'];
    await makeMedia(...inputs, ...x264, '-c:a', 'aac', path);
    const targetPath = join(folder, 'labeled.mp4');
    await labelTake({ path, targetPath, label, limits, signal: new AbortController().signal });
    const area = labelAreaOf(label, { width, height });
    const frames = await framesOf(targetPath);
    expect(frames.map((frame) => isLabeled(frame, area))).toEqual(Array.from({ length: 75 }, (_, index) => index < 50));
    const soundOf = async (file: string): Promise<string> =>
      (await run('ffmpeg', ['-v', 'error', '-i', file, '-map', '0:a', '-c', 'copy', '-f', 'streamhash', '-'])).stdout;
    expect(await soundOf(targetPath)).toBe(await soundOf(path));
  });

  it('What the source shows in its place replaces it before a take is compared, only while it is shown.', () => {
    const pictureOf = (value: number) => ({ width, height, data: Buffer.alloc(frameBytes, value) });
    const [take, source] = [pictureOf(1), pictureOf(2)];
    coverLabel(label, 2_000, { take, source });
    coverLabel(undefined, 0, { take, source });
    expect(take.data.every((value) => value === 1)).toBe(true);
    coverLabel(label, 1_999, { take, source });
    const { left, top, right, bottom } = labelAreaOf(label, { width, height });
    const covered = take.data.filter((value) => value === 2).length;
    expect(covered).toBe(((right - left) * (bottom - top) * 3) / 2);
    expect([take.data[top * width + left], take.data[top * width + left - 1]]).toEqual([2, 1]);
  });
});
