import { describe, expect, it } from 'vitest';
import { ShotBoundaryDetector } from './shot-boundaries.ts';

const width = 96;
const height = 64;

/** Broad vertical stripes of two colors, shifted horizontally. */
function stripes(shift: number, first: readonly number[], second: readonly number[], light = 1) {
  const rgb = new Uint8Array(width * height * 3);
  for (let index = 0; index < width * height; index += 1) {
    const color = Math.floor(((index % width) + shift) / 16) % 2 === 0 ? first : second;
    rgb.set(
      color.map((value) => value * light),
      index * 3,
    );
  }
  return { rgb, width, height };
}

const warm = [
  [220, 140, 60],
  [120, 40, 30],
] as const;
const cold = [
  [20, 90, 200],
  [10, 200, 120],
] as const;

function cutsIn(pictures: readonly ReturnType<typeof stripes>[]): readonly number[] {
  const detector = new ShotBoundaryDetector();
  return pictures.flatMap((picture, index) => (detector.isCut(picture) ? [index] : []));
}

describe('ShotBoundaryDetector', () => {
  it('The first frame of another scene is a cut.', () => {
    const pictures = Array.from({ length: 12 }, (_, index) =>
      index < 7 ? stripes(index, ...warm) : stripes(index * 3, ...cold),
    );
    expect(cutsIn(pictures)).toEqual([7]);
  });

  it('Fast motion is not a cut.', () => {
    expect(cutsIn(Array.from({ length: 20 }, (_, index) => stripes(index * 5, ...warm)))).toEqual([]);
  });

  it('A fade of the light is not a cut.', () => {
    expect(cutsIn(Array.from({ length: 20 }, (_, index) => stripes(3, ...warm, 1 - index / 25)))).toEqual([]);
  });
});
