import { describe, expect, it } from 'vitest';
import {
  conversionIndices,
  haloPositions,
  phaseLayout,
  rowMajorLayout,
  shiftedPositions,
  tileLayout,
  tileSideFor,
} from './pixel-layout.ts';

const layouts = [6, 12, 24, 48].flatMap((sidePx) => [
  { name: 'Row-major layout', layout: rowMajorLayout(sidePx) },
  { name: 'Phase layout', layout: phaseLayout(sidePx) },
  { name: 'Tile layout', layout: tileLayout(sidePx, tileSideFor(sidePx)) },
]);

describe.each(layouts)('$name of $layout.sidePx × $layout.sidePx pixels', ({ layout }) => {
  it('Every pixel has a unique position other than the zero position.', () => {
    expect(layout.positionOf).toHaveLength(layout.sidePx ** 2);
    expect(new Set([...layout.positionOf, layout.zeroPosition]).size).toBe(layout.sidePx ** 2 + 1);
    expect(Math.max(...layout.positionOf, layout.zeroPosition)).toBeLessThan(layout.positions);
  });

  it('Conversion to another layout and back restores the order.', () => {
    const tiles = tileLayout(layout.sidePx, 2);
    const forward = conversionIndices(layout, tiles);
    const roundTrip = conversionIndices(tiles, layout).map((position) => forward[position]);
    expect(layout.positionOf.map((position) => roundTrip[position])).toEqual(layout.positionOf);
  });
});

it('Pixels outside of the image are read from the zero position.', () => {
  const layout = rowMajorLayout(2);
  expect(shiftedPositions(layout, { down: 0, right: 0 })).toEqual([0, 1, 2, 3]);
  expect(shiftedPositions(layout, { down: 1, right: 0 })).toEqual([2, 3, 4, 4]);
  expect(shiftedPositions(layout, { down: 1, right: 1 })).toEqual([3, 4, 4, 4]);
  expect(shiftedPositions(layout, { down: 0, right: 0 }, 1)).toEqual([2, 3]);
  expect(haloPositions(layout, 2).filter((_, index) => index % 2 === 0)).toEqual([
    4, 4, 4, 4, 4, 0, 1, 4, 4, 2, 3, 4, 4, 4, 4, 4,
  ]);
});

describe.each([
  { name: 'Phase layout', layout: phaseLayout(24, 8) },
  { name: 'Tile layout', layout: tileLayout(24, 4, 8) },
])('$name from row 8 on', ({ layout }) => {
  it('The rows from the first one on have unique positions, and the rows above it the zero position.', () => {
    const [above, stored] = [layout.positionOf.slice(0, 8 * 24), layout.positionOf.slice(8 * 24)];
    expect(new Set(above)).toEqual(new Set([layout.zeroPosition]));
    expect(new Set([...stored, layout.zeroPosition]).size).toBe(16 * 24 + 1);
    expect(Math.max(...stored, layout.zeroPosition)).toBeLessThan(layout.positions);
  });

  it('Conversion from the whole image selects the stored rows and fills the other positions with zeros.', () => {
    const whole = rowMajorLayout(24);
    const indices = conversionIndices(whole, layout);
    expect(layout.positionOf.slice(8 * 24).map((position) => indices[position])).toEqual(
      whole.positionOf.slice(8 * 24),
    );
    expect(indices.filter((index) => index !== whole.zeroPosition)).toHaveLength(16 * 24);
  });
});
