import fc from 'fast-check';
import { expect, it } from 'vitest';
import { winogradTransform, type Matrix, type TileSidePx } from './winograd.ts';

function times({ rows, columns, data }: Matrix, vector: readonly number[]): number[] {
  expect(vector).toHaveLength(columns);
  return Array.from({ length: rows }, (_, row) =>
    vector.reduce((sum, value, column) => sum + value * (data[row * columns + column] ?? 0), 0),
  );
}

/** Every tap on every place of the tile, as a convolution is defined. */
function filtered(tile: readonly number[], taps: readonly number[], sidePx: number): number[] {
  return Array.from({ length: sidePx * sidePx }, (_, place) => {
    const corner = Math.floor(place / sidePx) * (sidePx + 2) + (place % sidePx);
    return taps.reduce(
      (sum, tap, index) => sum + tap * (tile[corner + Math.floor(index / 3) * (sidePx + 2) + (index % 3)] ?? 0),
      0,
    );
  });
}

it.each([2, 4] as const)('filters tiles of %d × %d like nine taps', (sidePx: TileSidePx) => {
  const { input, kernel, output, inputSidePx } = winogradTransform(sidePx);
  const numbers = (length: number) =>
    fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: length, maxLength: length });
  fc.assert(
    fc.property(numbers(inputSidePx ** 2), numbers(9), (tile, taps) => {
      const points = times(kernel, taps);
      const drawn = times(
        output,
        times(input, tile).map((value, point) => value * (points[point] ?? 0)),
      );
      for (const [place, value] of filtered(tile, taps, sidePx).entries()) expect(drawn[place]).toBeCloseTo(value, 4);
    }),
  );
});
