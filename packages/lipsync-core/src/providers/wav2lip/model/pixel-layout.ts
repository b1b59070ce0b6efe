import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import { integers, type GraphPart } from './graph-part.ts';
import { integersByStart } from './start-rows.ts';

/**
 * The order in which a square image's pixels are stored along axis 0 of a tensor (positions, batch, channels). Every
 * layout has positions without a pixel, whose values are zero; `zeroPosition` is one of them and supplies padding.
 */
export interface PixelLayout {
  readonly sidePx: number;
  /** The first stored row; the rows above it are treated as outside of the image. */
  readonly firstRow: number;
  readonly positions: number;
  /** The position of each pixel of the image, in row-major order; `zeroPosition` for rows that are not stored. */
  readonly positionOf: readonly number[];
  readonly zeroPosition: number;
}

/** Sides of Winograd output tiles. */
export type TileSidePx = 2 | 4;

/** Row-major order, followed by the zero position. */
export function rowMajorLayout(sidePx: number): PixelLayout {
  const pixels = sidePx * sidePx;
  return {
    sidePx,
    firstRow: 0,
    positions: pixels + 1,
    positionOf: Array.from({ length: pixels }, (_, pixel) => pixel),
    zeroPosition: pixels,
  };
}

/**
 * Space-to-depth order: the four phases (even and odd rows × even and odd columns), followed by the zero position.
 * `firstRow` is even.
 */
export function phaseLayout(sidePx: number, firstRow = 0): PixelLayout {
  const half = sidePx / 2;
  const zeroPosition = (sidePx - firstRow) * sidePx;
  const phasePixels = zeroPosition / 4;
  return {
    sidePx,
    firstRow,
    positions: zeroPosition + 1,
    positionOf: mapPixels(sidePx, (row, column) =>
      row < firstRow
        ? zeroPosition
        : ((row % 2) * 2 + (column % 2)) * phasePixels +
          Math.floor((row - firstRow) / 2) * half +
          Math.floor(column / 2),
    ),
    zeroPosition,
  };
}

/**
 * For each pixel offset within a tile: that pixel of every tile, followed by a zero position. `firstRow` is a multiple
 * of the tile side.
 */
export function tileLayout(sidePx: number, tileSidePx: TileSidePx, firstRow = 0): PixelLayout {
  const tilesPerRow = sidePx / tileSidePx;
  const tiles = tilesPerRow * ((sidePx - firstRow) / tileSidePx) + 1;
  return {
    sidePx,
    firstRow,
    positions: tileSidePx * tileSidePx * tiles,
    positionOf: mapPixels(sidePx, (row, column) => {
      if (row < firstRow) return tiles - 1;
      const offset = (row % tileSidePx) * tileSidePx + (column % tileSidePx);
      const tileRow = Math.floor((row - firstRow) / tileSidePx);
      return offset * tiles + tileRow * tilesPerRow + Math.floor(column / tileSidePx);
    }),
    zeroPosition: tiles - 1,
  };
}

/** The largest tile side that divides the image side. */
export function tileSideFor(sidePx: number): TileSidePx {
  return sidePx % 4 === 0 ? 4 : 2;
}

/** An offset in pixels. */
export interface PixelShift {
  readonly down: number;
  readonly right: number;
}

/** For each pixel from `firstRow` on in row-major order, the position of the pixel at the offset from it. */
export function shiftedPositions(layout: PixelLayout, { down, right }: PixelShift, firstRow = 0): readonly number[] {
  const { sidePx } = layout;
  return mapPixels(sidePx, (row, column) => positionAt(layout, row + down, column + right)).slice(firstRow * sidePx);
}

/**
 * Positions of the input tiles of a layout of output tiles. Input tiles have a halo of one pixel: for each pixel offset
 * within an input tile, that pixel of every tile, followed by a zero position.
 */
export function haloPositions(layout: PixelLayout, tileSidePx: TileSidePx, firstRow = 0): readonly number[] {
  const tilesPerRow = layout.sidePx / tileSidePx;
  const skippedTiles = (firstRow / tileSidePx) * tilesPerRow;
  return mapPixels(tileSidePx + 2, (offsetRow, offsetColumn) => [
    ...mapPixels(tilesPerRow, (row, column) =>
      positionAt(layout, row * tileSidePx + offsetRow - 1, column * tileSidePx + offsetColumn - 1),
    ).slice(skippedTiles),
    layout.zeroPosition,
  ]).flat();
}

/**
 * For each position of `to`, the position of the same pixel in `from`: the indices of a Gather that converts layouts.
 */
export function conversionIndices(from: PixelLayout, to: PixelLayout): readonly number[] {
  const indices = Array.from({ length: to.positions }, () => from.zeroPosition);
  for (const [pixel, position] of to.positionOf.entries())
    if (position !== to.zeroPosition) indices[position] = from.positionOf[pixel] ?? from.zeroPosition;
  return indices;
}

function positionAt({ sidePx, positionOf, zeroPosition }: PixelLayout, row: number, column: number): number {
  const inside = row >= 0 && row < sidePx && column >= 0 && column < sidePx;
  return inside ? (positionOf[row * sidePx + column] ?? zeroPosition) : zeroPosition;
}

function mapPixels<Value>(sidePx: number, valueOf: (row: number, column: number) => Value): Value[] {
  return Array.from({ length: sidePx * sidePx }, (_, pixel) => valueOf(Math.floor(pixel / sidePx), pixel % sidePx));
}

/** A tensor (positions, batch, channels) of the graph. */
export interface LayoutTensor {
  readonly name: string;
  readonly channels: number;
  readonly sidePx: number;
  /** The layout when the model draws from this row of the picture on. */
  layoutFrom(startRow: number): PixelLayout;
}

export interface LayoutPart extends GraphPart {
  readonly output: LayoutTensor;
}

export interface LayoutLayerOptions {
  readonly folded: FoldedLayer;
  readonly input: LayoutTensor;
  /** The first row of the output that is computed when the model draws from this row of the picture on. */
  firstRowFrom(startRow: number): number;
}

/** A square NCHW tensor of the graph. */
export interface ImageTensor {
  readonly name: string;
  readonly channels: number;
  readonly sidePx: number;
}

/** Names of shape tensors that `batchShapes` creates: [1, batch, 1] and [batch, 1]. */
export const batchShapeNames = { middle: 'batch/1×B×1', first: 'batch/B×1' } as const;

/** Nodes that derive the shapes in `batchShapeNames` from an input whose axis 0 is the batch. */
export function batchShapes(input: string): GraphPart {
  const { middle, first } = batchShapeNames;
  const batch = 'batch/1';
  return {
    nodes: [
      { operator: 'Shape', inputs: [input], output: 'batch/shape' },
      { operator: 'Slice', inputs: ['batch/shape', 'batch/zero', 'batch/one'], output: batch },
      { operator: 'Concat', inputs: ['batch/one', batch, 'batch/one'], output: middle, attributes: { axis: 0 } },
      { operator: 'Concat', inputs: [batch, 'batch/one'], output: first, attributes: { axis: 0 } },
    ],
    constants: [integers('batch/zero', [0]), integers('batch/one', [1])],
  };
}

/**
 * Converts an NCHW image to row-major layout. Two transposes: the runtime merges the first with the conversion from its
 * blocked convolution layout, and the second moves contiguous runs of channels.
 */
export function imageToLayout({ name, channels, sidePx }: ImageTensor): LayoutPart {
  const output = `${name}/cells`;
  return {
    output: { name: output, channels, sidePx, layoutFrom: () => rowMajorLayout(sidePx) },
    nodes: [
      { operator: 'Transpose', inputs: [name], output: `${output}/last`, attributes: { perm: [0, 2, 3, 1] } },
      // Prevents the runtime from fusing the two transposes into one slow one.
      { operator: 'Reshape', inputs: [`${output}/last`, `${output}/sides`], output: `${output}/pixels` },
      { operator: 'Pad', inputs: [`${output}/pixels`, `${output}/pads`], output: `${output}/padded` },
      { operator: 'Transpose', inputs: [`${output}/padded`], output, attributes: { perm: [1, 0, 2] } },
    ],
    constants: [
      integers(`${output}/sides`, [-1, sidePx * sidePx, channels]),
      integers(`${output}/pads`, [0, 0, 0, 0, 1, 0]),
    ],
  };
}

/** Concatenates the channels of two tensors in the layout of the first. */
export function concatenateChannels(first: LayoutTensor, second: LayoutTensor, output: string): LayoutPart {
  const order = integersByStart(`${output}/order`, (startRow) =>
    conversionIndices(second.layoutFrom(startRow), first.layoutFrom(startRow)),
  );
  return {
    output: { ...first, name: output, channels: first.channels + second.channels },
    nodes: [
      ...order.nodes,
      {
        operator: 'Gather',
        inputs: [second.name, `${output}/order`],
        output: `${output}/second`,
        attributes: { axis: 0 },
      },
      { operator: 'Concat', inputs: [first.name, `${output}/second`], output, attributes: { axis: 2 } },
    ],
    constants: order.constants,
  };
}
