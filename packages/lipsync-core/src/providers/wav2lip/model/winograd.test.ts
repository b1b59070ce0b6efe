import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { TileSidePx } from './pixel-layout.ts';
import { winogradTransform, type Matrix } from './winograd.ts';

function multiply({ rows, columns, data }: Matrix, vector: readonly number[]): number[] {
  expect(vector).toHaveLength(columns);
  return Array.from({ length: rows }, (_, row) =>
    vector.reduce((sum, value, column) => sum + value * (data[row * columns + column] ?? 0), 0),
  );
}

/** Direct 3 × 3 convolution of a tile. */
function convolve(tile: readonly number[], taps: readonly number[], sidePx: number): number[] {
  return Array.from({ length: sidePx * sidePx }, (_, pixel) => {
    const corner = Math.floor(pixel / sidePx) * (sidePx + 2) + (pixel % sidePx);
    return taps.reduce(
      (sum, tap, index) => sum + tap * (tile[corner + Math.floor(index / 3) * (sidePx + 2) + (index % 3)] ?? 0),
      0,
    );
  });
}

it.each([2, 4] as const)('The transform for %d × %d tiles equals a direct 3 × 3 convolution.', (sidePx: TileSidePx) => {
  const { input, kernel, output, inputSidePx } = winogradTransform(sidePx);
  const numbers = (length: number) =>
    fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: length, maxLength: length });
  fc.assert(
    fc.property(numbers(inputSidePx ** 2), numbers(9), (tile, taps) => {
      const points = multiply(kernel, taps);
      const result = multiply(
        output,
        multiply(input, tile).map((value, point) => value * (points[point] ?? 0)),
      );
      for (const [pixel, value] of convolve(tile, taps, sidePx).entries()) expect(result[pixel]).toBeCloseTo(value, 4);
    }),
  );
});
