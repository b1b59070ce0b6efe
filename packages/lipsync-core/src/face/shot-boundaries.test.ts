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

/** The picture with so much light that most of it is white. */
function flashed({ rgb }: ReturnType<typeof stripes>) {
  return { rgb: rgb.map((value) => Math.min(255, value + 190)), width, height };
}

function cutsIn(pictures: readonly ReturnType<typeof stripes>[]): readonly number[] {
  const detector = new ShotBoundaryDetector();
  let undecided = 0;
  return pictures.flatMap((picture, index) => {
    const change = detector.classify(picture);
    if (change === 'flash') undecided += 1;
    const cut = change === 'cut' ? [index - undecided] : [];
    if (change !== 'flash') undecided = 0;
    return cut;
  });
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

  it('A flash of up to 5 frames is not a cut.', () => {
    const pictures = Array.from({ length: 40 }, (_, index) =>
      index === 9 || (index >= 20 && index < 25) ? flashed(stripes(index, ...warm)) : stripes(index, ...warm),
    );
    expect(cutsIn(pictures)).toEqual([]);
  });

  it('A bright scene that stays, and another scene after a flash, start at the first bright frame.', () => {
    const scene = (index: number) => (index < 30 ? flashed(stripes(3, ...cold)) : stripes(index, ...cold));
    const bright = Array.from({ length: 40 }, (_, index) => (index < 10 ? stripes(index, ...warm) : scene(index)));
    expect(cutsIn(bright)).toEqual([10, 30]);
    const between = Array.from({ length: 20 }, (_, index) => {
      if (index < 10) return stripes(index, ...warm);
      return index < 12 ? flashed(stripes(index, ...warm)) : stripes(index, ...cold);
    });
    expect(cutsIn(between)).toEqual([10]);
  });

  it('A fade of the light is not a cut.', () => {
    expect(cutsIn(Array.from({ length: 20 }, (_, index) => stripes(3, ...warm, 1 - index / 25)))).toEqual([]);
  });
});
