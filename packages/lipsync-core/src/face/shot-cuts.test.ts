import { describe, expect, it } from 'vitest';
import { createCutDetector } from './shot-cuts.ts';

const width = 96;
const height = 64;

/** Broad stripes of two colors, shifted sideways. */
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
  const detector = createCutDetector();
  return pictures.flatMap((picture, index) => (detector.isCut(picture) ? [index] : []));
}

describe('finding cuts', () => {
  it('finds the first frame of another scene', () => {
    const pictures = Array.from({ length: 12 }, (_, index) =>
      index < 7 ? stripes(index, ...warm) : stripes(index * 3, ...cold),
    );
    expect(cutsIn(pictures)).toEqual([7]);
  });

  it('does not take fast motion for a cut', () => {
    expect(cutsIn(Array.from({ length: 20 }, (_, index) => stripes(index * 5, ...warm)))).toEqual([]);
  });

  it('does not take light that fades for a cut', () => {
    expect(cutsIn(Array.from({ length: 20 }, (_, index) => stripes(3, ...warm, 1 - index / 25)))).toEqual([]);
  });
});
