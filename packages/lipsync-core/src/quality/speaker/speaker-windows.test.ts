import { describe, expect, it } from 'vitest';
import type { Picture } from '../../media/index.ts';
import { boxOfPoints, type SpeakerBox } from './mouth-crop.ts';
import { chooseWindows, FaceWindow, windowFrames } from './speaker-windows.ts';

const color = { space: 'bt709', range: 'pc' };
const size = 240;

/** Luma that grows by one per column from `first`, with flat chroma. */
function ramp(first = 0): Picture {
  const data = new Uint8Array((size * size * 3) / 2).fill(128);
  for (let index = 0; index < size * size; index += 1) data[index] = first + (index % size);
  return { width: size, height: size, data };
}

const box: SpeakerBox = { x: 120, y: 110, halfSide: 80 };

describe('Windows of LR-ASD', () => {
  it.each([
    [49, []],
    [50, [0]],
    [90, [20]],
    [100, [0, 50]],
    [250, [0, 50, 100, 150, 200]],
    [1000, [0, 237, 475, 712, 950]],
  ])('%i frames have windows at %j.', (frames, starts) => {
    expect(chooseWindows(frames, false)).toEqual(starts);
  });

  it('All windows cover the video without overlap.', () => {
    const starts = chooseWindows(1_049, true);
    expect(starts).toHaveLength(20);
    for (const [index, start] of starts.entries()) expect(start).toBeGreaterThanOrEqual(index * windowFrames);
  });

  it('A crop spans 1.4 half sides around the mouth, at one pixel per pixel for a half side of 80.', () => {
    const window = new FaceWindow();
    for (let frame = 0; frame < windowFrames; frame += 1) window.add(ramp(), color, box);
    const crops = window.finish();
    // The left edge lies 0.7 half sides left of the center.
    expect([...(crops?.subarray(0, 3) ?? [])]).toEqual([64, 65, 66]);
    expect(crops?.at(-1)).toBe(64 + 111);
  });

  it('A box that jumps in one frame does not move the crop.', () => {
    const window = new FaceWindow();
    for (let frame = 0; frame < windowFrames; frame += 1)
      window.add(ramp(), color, frame === 25 ? { ...box, x: 130 } : box);
    expect(window.finish()?.[25 * 112 * 112]).toBe(64);
  });

  it('Crops outside of the picture are gray.', () => {
    const window = new FaceWindow();
    for (let frame = 0; frame < windowFrames; frame += 1) window.add(ramp(), color, { ...box, x: 20 });
    expect(window.finish()?.[0]).toBe(110);
  });

  it.each([
    [5, true],
    [6, false],
  ])('A window with %i frames without a face is scored: %s.', (missing, isScored) => {
    const window = new FaceWindow();
    for (let frame = 0; frame < windowFrames; frame += 1) window.add(ramp(), color, frame < missing ? undefined : box);
    expect(window.finish() !== undefined).toBe(isScored);
  });

  it('The box of a face follows its landmarks.', () => {
    const points = new Float32Array(478 * 3);
    for (let point = 0; point < 468; point += 1) {
      points[point * 3] = 100 + (point % 2) * 80;
      points[point * 3 + 1] = 200 + (point % 3) * 50;
    }
    expect(boxOfPoints(points)).toEqual({ x: 140, y: expect.closeTo(246.6), halfSide: expect.closeTo(52.7) });
  });
});
