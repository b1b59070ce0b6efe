import type { TileSidePx } from './winograd.ts';

/**
 * Where the pixels of a square picture lie in a tensor (cells, batch, channels). A cell that is no pixel is zero, so that
 * what lies outside of the picture can be taken from there.
 */
export interface CellGrid {
  readonly sidePx: number;
  readonly cells: number;
  /** The cell of each pixel, row by row. */
  readonly cellOf: readonly number[];
  readonly zeroCell: number;
}

/** Row by row, then the zero cell. */
export function rowGrid(sidePx: number): CellGrid {
  const pixels = sidePx * sidePx;
  return { sidePx, cells: pixels + 1, cellOf: Array.from({ length: pixels }, (_, pixel) => pixel), zeroCell: pixels };
}

/** The four phases of a picture of twice the side (even and odd rows, each with even and odd columns), then the zero cell. */
export function phaseGrid(sidePx: number): CellGrid {
  const half = sidePx / 2;
  return {
    sidePx,
    cells: sidePx * sidePx + 1,
    cellOf: pixelsOf(
      sidePx,
      (row, column) =>
        ((row % 2) * 2 + (column % 2)) * half * half + Math.floor(row / 2) * half + Math.floor(column / 2),
    ),
    zeroCell: sidePx * sidePx,
  };
}

/** For each place in a tile, that place of all tiles; behind the tiles of every place a zero cell. */
export function tileGrid(sidePx: number, tileSidePx: TileSidePx): CellGrid {
  const across = sidePx / tileSidePx;
  const tiles = across * across + 1;
  return {
    sidePx,
    cells: tileSidePx * tileSidePx * tiles,
    cellOf: pixelsOf(sidePx, (row, column) => {
      const place = (row % tileSidePx) * tileSidePx + (column % tileSidePx);
      return place * tiles + Math.floor(row / tileSidePx) * across + Math.floor(column / tileSidePx);
    }),
    zeroCell: tiles - 1,
  };
}

/** The largest tile of which whole ones make up a side. */
export function tileSideFor(sidePx: number): TileSidePx {
  return sidePx % 4 === 0 ? 4 : 2;
}

/** For every pixel, row by row, the cell of the pixel so far below and to the right of it. */
export function shiftedCells(grid: CellGrid, down: number, right: number): readonly number[] {
  return pixelsOf(grid.sidePx, (row, column) => cellAt(grid, row + down, column + right));
}

/** For each place in a tile of inputs, one pixel larger on every side, that place of all tiles and a zero cell. */
export function haloCells(grid: CellGrid, tileSidePx: TileSidePx): readonly number[] {
  const across = grid.sidePx / tileSidePx;
  const inputSidePx = tileSidePx + 2;
  return pixelsOf(inputSidePx, (placeRow, placeColumn) => [
    ...pixelsOf(across, (row, column) =>
      cellAt(grid, row * tileSidePx + placeRow - 1, column * tileSidePx + placeColumn - 1),
    ),
    grid.zeroCell,
  ]).flat();
}

/** For each cell of `to` the cell of `from` that holds the same pixel. */
export function sameCells(from: CellGrid, to: CellGrid): readonly number[] {
  const cells = Array.from({ length: to.cells }, () => from.zeroCell);
  for (const [pixel, cell] of to.cellOf.entries()) cells[cell] = from.cellOf[pixel] ?? from.zeroCell;
  return cells;
}

function cellAt({ sidePx, cellOf, zeroCell }: CellGrid, row: number, column: number): number {
  const inside = row >= 0 && row < sidePx && column >= 0 && column < sidePx;
  return inside ? (cellOf[row * sidePx + column] ?? zeroCell) : zeroCell;
}

function pixelsOf<Value>(sidePx: number, valueOf: (row: number, column: number) => Value): Value[] {
  return Array.from({ length: sidePx * sidePx }, (_, pixel) => valueOf(Math.floor(pixel / sidePx), pixel % sidePx));
}
