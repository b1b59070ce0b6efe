import { describe, expect, it } from 'vitest';
import { haloCells, phaseGrid, rowGrid, sameCells, shiftedCells, tileGrid, tileSideFor } from './cell-grid.ts';

const grids = [6, 12, 24, 48].flatMap((sidePx) => [
  { what: 'rows', grid: rowGrid(sidePx) },
  { what: 'phases', grid: phaseGrid(sidePx) },
  { what: 'tiles', grid: tileGrid(sidePx, tileSideFor(sidePx)) },
]);

describe.each(grids)('$what of $grid.sidePx pixels', ({ grid }) => {
  it('give each pixel a cell of its own, and none to the zero cell', () => {
    expect(grid.cellOf).toHaveLength(grid.sidePx ** 2);
    expect(new Set([...grid.cellOf, grid.zeroCell]).size).toBe(grid.sidePx ** 2 + 1);
    expect(Math.max(...grid.cellOf, grid.zeroCell)).toBeLessThan(grid.cells);
  });

  it('come back from any other order as they were', () => {
    const tiles = tileGrid(grid.sidePx, 2);
    const there = sameCells(grid, tiles);
    const back = sameCells(tiles, grid).map((cell) => there[cell]);
    expect(grid.cellOf.map((cell) => back[cell])).toEqual(grid.cellOf);
  });
});

it('takes what lies outside of the picture from the zero cell', () => {
  const grid = rowGrid(2);
  expect(shiftedCells(grid, 0, 0)).toEqual([0, 1, 2, 3]);
  expect(shiftedCells(grid, 1, 0)).toEqual([2, 3, 4, 4]);
  expect(shiftedCells(grid, 1, 1)).toEqual([3, 4, 4, 4]);
  expect(haloCells(grid, 2).filter((_, index) => index % 2 === 0)).toEqual([
    4, 4, 4, 4, 4, 0, 1, 4, 4, 2, 3, 4, 4, 4, 4, 4,
  ]);
});
