import { expect, it } from 'vitest';
import { BlockinessMeter } from './blockiness.ts';
import { createPatch, patchSide, type FacePatch } from './face-patch.ts';
import { FaceShiftMeter } from './face-shift.ts';
import { SeamMeter } from './seam.ts';
import { StillFrameMeter } from './still-frames.ts';

const unitsPerLevel = 64;
const lips = { left: 38, top: 62, right: 82, bottom: 84 };
const eyes = { left: 22, top: 14, right: 98, bottom: 44 };

/** A patch with the gentle shading of a face, moved by `shift` cells and changed per cell. */
function drawPatch(change: (column: number, row: number) => number, shift = 0): FacePatch {
  const patch = createPatch();
  for (let row = 0; row < patchSide; row += 1)
    for (let column = 0; column < patchSide; column += 1) {
      const shade = 110 + 20 * Math.sin((column - shift) / 17) + 15 * Math.sin(row / 23);
      patch.luma[row * patchSide + column] = Math.round((shade + change(column, row)) * unitsPerLevel);
    }
  return patch;
}

const plain = drawPatch(() => 0);

function seamOf(change: (column: number, row: number) => number): number {
  const meter = new SeamMeter();
  for (let picture = 0; picture < 4; picture += 1)
    meter.add(picture * 200, { take: drawPatch(change), source: plain }, lips);
  return meter.finish();
}

const depth = (column: number, row: number): number => Math.min(column - 18, 102 - column, row - 40, 108 - row);

it('The seam of a box grows with its brightness, and a soft border of the same brightness has none.', () => {
  const heights = [0, 4, 8, 16, 32].map((level) => seamOf((column, row) => (depth(column, row) >= 0 ? level : 0)));
  expect(heights[0]).toBe(0);
  expect(heights).toEqual(heights.toSorted((first, second) => first - second));
  expect(heights[2]).toBeGreaterThan(4);
  expect(seamOf((column, row) => 8 * Math.min(1, Math.max(0, depth(column, row) / 20)))).toBeLessThan(1);
});

it.each([
  ['one passage', (picture: number) => picture >= 10 && picture < 20, [{ startMs: 2_000, endMs: 4_000 }]],
  ['every third picture', (picture: number) => picture % 3 === 0, [{ startMs: 0, endMs: 5_600 }]],
  ['the last second', (picture: number) => picture >= 25, [{ startMs: 5_000, endMs: 6_000 }]],
])('A seam that is visible in %s counts as one of the whole video, with its ranges.', (_, isVisible, ranges) => {
  const meter = new SeamMeter();
  for (let picture = 0; picture < 30; picture += 1) {
    const level = isVisible(picture) ? 8 : 0;
    const take = drawPatch((column, row) => (depth(column, row) >= 0 ? level : 0));
    meter.add(picture * 200, { take, source: plain }, lips);
  }
  expect(meter.finish()).toBeGreaterThan(4);
  expect(meter.visibleRanges(2.5)).toEqual(ranges);
});

it('Two pictures of a second with a chance edge are no seam.', () => {
  const meter = new SeamMeter();
  for (let picture = 0; picture < 30; picture += 1) {
    const level = picture === 10 || picture === 12 ? 8 : 0;
    const take = drawPatch((column, row) => (depth(column, row) >= 0 ? level : 0));
    meter.add(picture * 200, { take, source: plain }, lips);
  }
  expect(meter.finish()).toBe(0);
});

it('The jitter of a head is the deviation of its position, and a constant shift has none.', () => {
  const jitterOf = (shifts: readonly number[]): number => {
    const meter = new FaceShiftMeter();
    for (const shift of shifts)
      meter.add(
        drawPatch(() => 0, shift),
        plain,
        eyes,
      );
    return meter.finish();
  };
  expect(jitterOf([2, 2, 2, 2])).toBeLessThan(0.1);
  const levels = [0.25, 0.5, 1, 2].map((shift) => jitterOf([shift, -shift, shift, -shift]));
  expect(levels).toEqual(levels.toSorted((first, second) => first - second));
});

it('Blockiness grows with the share of a picture that is reduced to blocks.', () => {
  const [width, height] = [320, 240];
  const valueAt = (x: number, y: number): number => 120 + 60 * Math.sin(x / 11) * Math.cos(y / 13);
  const blockinessOf = (share: number): number => {
    const data = Uint8Array.from({ length: width * height }, (_, index) => {
      const [x, y] = [index % width, Math.floor(index / width)];
      return valueAt(x, y) * (1 - share) + valueAt((x & ~7) + 4, (y & ~7) + 4) * share;
    });
    const meter = new BlockinessMeter();
    meter.add({ data, start: 0, width, height });
    return meter.finish() ?? NaN;
  };
  const levels = [0, 0.25, 0.5, 0.75, 1].map(blockinessOf);
  expect(levels).toEqual(levels.toSorted((first, second) => first - second));
  expect(levels[0]).toBeLessThan(1.3);
});

/** Runs frames of one gray level each through a meter. */
function measureFrames(levels: readonly number[], clipFrame?: (index: number) => number) {
  const meter = new StillFrameMeter(25, levels.length, 1);
  for (const [index, level] of levels.entries()) {
    const picture = { width: 64, height: 64, data: new Uint8Array(64 * 96).fill(level) };
    const source = clipFrame && {
      clipFrame: clipFrame(index),
      points: undefined,
      visibility: 1,
      picture: undefined,
    };
    meter.add({ index, timeMs: index * 40, picture, points: undefined, isMeasured: false, source });
  }
  return meter.finish();
}

const moving = Array.from({ length: 50 }, (_, index) => 60 + ((index * 37) % 90));

it('Frozen and black frames are reported with their times.', () => {
  const levels = moving.map((level, index) => (index >= 20 && index < 30 ? 100 : index >= 40 ? 16 : level));
  const { frozenRanges, blackRanges, blackShare } = measureFrames(levels);
  expect(frozenRanges[0]).toEqual({ startMs: 840, endMs: 1200 });
  expect(blackRanges).toEqual([{ startMs: 1600, endMs: 2000 }]);
  expect(blackShare).toBeCloseTo(0.2);
});

it('Frames that the source repeats are not frozen, and a still has no frozen frames at all.', () => {
  const held = moving.map((level, index) => (index < 25 ? level : 100));
  expect(measureFrames(held, (index) => Math.min(index, 25)).frozenShare).toBe(0);
  const still = measureFrames(Array.from({ length: 50 }, () => 100));
  expect(still).toMatchObject({ frozenShare: null, frozenReason: expect.stringContaining('Apart from the mouth') });
});
