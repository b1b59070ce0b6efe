import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AffineResampler, type ResampleTarget } from './affine-resampler.ts';
import type { AffineTransform, Plane } from './planes.ts';

function planeOf(width: number, height: number, levelAt: (x: number, y: number) => number): Plane {
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) data[y * width + x] = Math.round(levelAt(x, y));
  return { data, start: 0, width, height };
}

function targetOf(columns: number, rows: number): ResampleTarget {
  return { values: new Int16Array(columns * rows), columns, rows };
}

function scaling(x: number, y: number, step: number): AffineTransform {
  return { x, y, acrossX: step, acrossY: 0, downX: 0, downY: step };
}

function levels({ values }: ResampleTarget): readonly number[] {
  return Array.from(values, (value) => value / 64);
}

describe('AffineResampler', () => {
  it('Downscaling averages whole areas, including fractions of pixels.', () => {
    const source = planeOf(6, 3, (x, y) => 10 * x + 40 * y);
    const target = targetOf(4, 2);
    new AffineResampler().resample(source, scaling(0, 0, 1.5), target, 'cubic');
    const across = [10 / 3, 50 / 3, 100 / 3, 140 / 3];
    const expected = [40 / 3, 200 / 3].flatMap((down) => across.map((value) => value + down));
    for (const [index, level] of levels(target).entries()) expect(level).toBeCloseTo(expected[index] ?? NaN, 0);
  });

  it('Downscaling keeps the mean brightness of a pattern as fine as one pixel.', () => {
    const source = planeOf(90, 90, (x, y) => ((x + y) % 2 === 0 ? 200 : 0));
    const target = targetOf(20, 20);
    new AffineResampler().resample(source, scaling(0, 0, 4.5), target, 'linear');
    for (const level of levels(target)) expect(Math.abs(level - 100)).toBeLessThan(7);
  });

  it('A linear gradient keeps its slope and position under any rotation and scale.', () => {
    const slope = fc.double({ min: -1, max: 1, noNaN: true });
    const rotation = fc.record({
      angle: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
      stepX: fc.double({ min: 0.2, max: 3, noNaN: true }),
      stepY: fc.double({ min: 0.2, max: 3, noNaN: true }),
    });
    const interpolations = fc.constantFrom('linear' as const, 'cubic' as const);
    fc.assert(
      fc.property(slope, slope, rotation, interpolations, (right, down, { angle, stepX, stepY }, interpolation) => {
        const source = planeOf(80, 80, (x, y) => 128 + right * (x - 40) + down * (y - 40));
        const acrossX = Math.cos(angle) * stepX;
        const acrossY = Math.sin(angle) * stepX;
        const downX = -Math.sin(angle) * stepY;
        const downY = Math.cos(angle) * stepY;
        const x0 = 40 - acrossX * 4 - downX * 5;
        const y0 = 40 - acrossY * 4 - downY * 5;
        const target = targetOf(8, 10);
        const transform = { x: x0, y: y0, acrossX, acrossY, downX, downY };
        new AffineResampler().resample(source, transform, target, interpolation);
        for (const [index, level] of levels(target).entries()) {
          const u = (index % 8) + 0.5;
          const v = Math.floor(index / 8) + 0.5;
          const x = x0 + acrossX * u + downX * v - 0.5;
          const y = y0 + acrossY * u + downY * v - 0.5;
          expect(Math.abs(level - (128 + right * (x - 40) + down * (y - 40)))).toBeLessThan(1);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('Points outside the source take the value of the nearest edge pixel.', () => {
    const source = planeOf(10, 10, (x) => 20 * x);
    const target = targetOf(40, 4);
    new AffineResampler().resample(source, scaling(-15, -20, 1), target, 'cubic');
    expect(levels(target).slice(0, 12)).toEqual(Array.from({ length: 12 }, () => 0));
    expect(levels(target).slice(28, 40)).toEqual(Array.from({ length: 12 }, () => 180));
  });

  it('A rotation by 90 degrees is lossless.', () => {
    const source = planeOf(7, 5, (x, y) => 31 * x + 7 * y);
    const target = targetOf(5, 7);
    const quarterTurn = { x: 7, y: 0, acrossX: 0, acrossY: 1, downX: -1, downY: 0 };
    new AffineResampler().resample(source, quarterTurn, target, 'cubic');
    expect(levels(target)).toEqual(
      Array.from({ length: 35 }, (_, index) => 31 * (6 - Math.floor(index / 5)) + 7 * (index % 5)),
    );
  });

  it('Only the requested spans of the target are written.', () => {
    const source = planeOf(8, 8, () => 100);
    const target = { ...targetOf(4, 2), spans: Int32Array.from([1, 3, 2, 2]) };
    new AffineResampler().resample(source, scaling(0, 0, 2), target, 'linear');
    expect(levels(target)).toEqual([0, 100, 100, 0, 0, 0, 0, 0]);
  });
});
