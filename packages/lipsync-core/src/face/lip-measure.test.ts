import { describe, expect, it } from 'vitest';
import { innerLipsLower, innerLipsUpper } from './landmarks.ts';
import { measureLips } from './lip-measure.ts';

/**
 * Landmarks with an eye distance of 60 pixels, a mouth width of 50 and a gap of `gap` between the inner lips, rotated
 * by `roll`.
 */
function faceWith(gap: number, roll = 0): Float32Array {
  const points = new Float32Array(478 * 3);
  const put = (index: number, x: number, y: number): void => {
    points[index * 3] = x * Math.cos(roll) - y * Math.sin(roll);
    points[index * 3 + 1] = x * Math.sin(roll) + y * Math.cos(roll);
  };
  for (const [index, x] of [
    [33, -40],
    [133, -20],
    [362, 20],
    [263, 40],
  ] as const)
    put(index, x, 0);
  put(61, -25, 60);
  put(291, 25, 60);
  for (const [position, index] of innerLipsUpper.entries())
    put(index, position * 4 - 20, 60 - (position % 10 === 0 ? 0 : gap / 2));
  for (const [position, index] of innerLipsLower.entries())
    put(index, position * 4 - 20, 60 + (position % 10 === 0 ? 0 : gap / 2));
  return points;
}

describe('measureLips', () => {
  it.each([0, 0.9, -2])('Opening and width are relative to the eye distance at a roll of %f rad.', (roll) => {
    const { opening, width } = measureLips(faceWith(12, roll));
    expect(opening).toBeCloseTo(0.2, 5);
    expect(width).toBeCloseTo(50 / 60, 5);
  });

  it('Overlapping lips count as closed.', () => {
    expect(measureLips(faceWith(-3)).opening).toBe(0);
  });
});
