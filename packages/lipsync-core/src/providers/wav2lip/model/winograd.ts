/**
 * Winograd minimal filtering F(2 × 2, 3 × 3) and F(4 × 4, 3 × 3) (Lavin and Gray, "Fast Algorithms for Convolutional
 * Neural Networks", 2015): an output tile is Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A. Each pair of factors is applied as one matrix on
 * flattened tiles, the Kronecker product of the one-dimensional matrix with itself.
 */
import type { GraphNode } from '../../../inference/onnx-writer.ts';
import { integers } from './graph-part.ts';
import type { Layer } from './network.ts';
import {
  batchShapeNames,
  haloPositions,
  tileLayout,
  tileSideFor,
  type LayoutLayerOptions,
  type LayoutPart,
  type PixelLayout,
  type TileSidePx,
} from './pixel-layout.ts';
import { integersByStart, tailByStart } from './start-rows.ts';

/** A row-major matrix. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

export interface WinogradTransform {
  /** Side of an input tile: the output side plus a halo of 2. */
  readonly inputSidePx: number;
  /** Bᵀ ⊗ Bᵀ: input tile to transform domain. */
  readonly input: Matrix;
  /** G ⊗ G: nine taps to transform domain. */
  readonly kernel: Matrix;
  /** Aᵀ ⊗ Aᵀ: products in the transform domain to output tile. */
  readonly output: Matrix;
}

interface OneDimensional {
  readonly input: readonly (readonly number[])[];
  readonly kernel: readonly (readonly number[])[];
  readonly output: readonly (readonly number[])[];
}

/** Interpolation points: 0, 1, −1, ∞ for F(2, 3); additionally 2, −2 for F(4, 3). */
const oneDimensional: { readonly [Side in TileSidePx]: OneDimensional } = {
  2: {
    input: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, -1, 0, 1],
    ],
    kernel: [
      [1, 0, 0],
      [1 / 2, 1 / 2, 1 / 2],
      [1 / 2, -1 / 2, 1 / 2],
      [0, 0, 1],
    ],
    output: [
      [1, 1, 1, 0],
      [0, 1, -1, 1],
    ],
  },
  4: {
    input: [
      [4, 0, -5, 0, 1, 0],
      [0, -4, -4, 1, 1, 0],
      [0, 4, -4, -1, 1, 0],
      [0, -2, -1, 2, 1, 0],
      [0, 2, -1, -2, 1, 0],
      [0, 4, 0, -5, 0, 1],
    ],
    kernel: [
      [1 / 4, 0, 0],
      [-1 / 6, -1 / 6, -1 / 6],
      [-1 / 6, 1 / 6, -1 / 6],
      [1 / 24, 1 / 12, 1 / 6],
      [1 / 24, -1 / 12, 1 / 6],
      [0, 0, 1],
    ],
    output: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 0],
      [0, 1, 1, 4, 4, 0],
      [0, 1, -1, 8, -8, 1],
    ],
  },
};

/** The transform for output tiles of this side. */
export function winogradTransform(tileSidePx: TileSidePx): WinogradTransform {
  const { input, kernel, output } = oneDimensional[tileSidePx];
  return {
    inputSidePx: tileSidePx + 2,
    input: kroneckerSquare(input),
    kernel: kroneckerSquare(kernel),
    output: kroneckerSquare(output),
  };
}

/** Kronecker product of a matrix with itself. */
function kroneckerSquare(matrix: readonly (readonly number[])[]): Matrix {
  const data = matrix.flatMap((upper) =>
    matrix.flatMap((lower) => upper.flatMap((left) => lower.map((right) => left * right))),
  );
  return { rows: matrix.length ** 2, columns: (matrix[0]?.length ?? 0) ** 2, data: Float32Array.from(data) };
}

/** A 3 × 3 convolution of stride 1 with ReLU as a Winograd transform. The output has tile layout. */
export function winogradLayer(
  { name, outputChannels }: Layer,
  { folded, input, firstRowFrom }: LayoutLayerOptions,
): LayoutPart {
  const { sidePx } = input;
  const tileSidePx = tileSideFor(sidePx);
  const layoutFrom = (startRow: number): PixelLayout => tileLayout(sidePx, tileSidePx, firstRowFrom(startRow));
  const tilePixels = tileSidePx ** 2;
  const tilesFrom = (startRow: number): number => layoutFrom(startRow).positions / tilePixels;
  const tiles = tilesFrom(0);
  const transform = winogradTransform(tileSidePx);
  const points = transform.inputSidePx ** 2;
  const inner = (suffix: string): string => `${name}/${suffix}`;
  const halo = integersByStart(inner('halo'), (startRow) =>
    haloPositions(input.layoutFrom(startRow), tileSidePx, firstRowFrom(startRow)),
  );
  const cells = integersByStart(inner('cells'), (startRow) => [layoutFrom(startRow).positions, -1, outputChannels]);
  const bias = tailByStart(
    { name: inner('bias'), dims: [tiles, 1, outputChannels], data: repeatedBias(folded.bias, tiles) },
    (startRow) => tiles - tilesFrom(startRow),
  );
  return {
    output: { name, channels: outputChannels, sidePx, layoutFrom },
    nodes: [
      ...halo.nodes,
      ...cells.nodes,
      ...bias.nodes,
      { operator: 'Gather', inputs: [input.name, inner('halo')], output: inner('tiles'), attributes: { axis: 0 } },
      reshape(inner('tiles'), inner('points×rest')),
      { operator: 'MatMul', inputs: [inner('input'), inner('tiles/points×rest')], output: inner('transformed') },
      reshape(inner('transformed'), inner('points×tiles×channels')),
      // Constant folding: the runtime transforms the kernels once, when it loads the model.
      { operator: 'MatMul', inputs: [inner('kernel'), inner('weight')], output: inner('flat') },
      { operator: 'Reshape', inputs: [inner('flat'), inner('points×channels×channels')], output: inner('spread') },
      {
        operator: 'MatMul',
        inputs: [inner('transformed/points×tiles×channels'), inner('spread')],
        output: inner('products'),
      },
      reshape(inner('products'), inner('points×rest')),
      { operator: 'Expand', inputs: [inner('bias'), batchShapeNames.middle], output: inner('biases') },
      reshape(inner('biases'), inner('one×rest')),
      {
        operator: 'Gemm',
        inputs: [inner('output'), inner('products/points×rest'), inner('biases/one×rest')],
        output: inner('sum'),
      },
      { operator: 'Relu', inputs: [inner('sum')], output: inner('places') },
      { operator: 'Reshape', inputs: [inner('places'), inner('cells')], output: name },
    ],
    constants: [
      ...halo.constants,
      ...cells.constants,
      ...bias.constants,
      integers(inner('points×rest'), [points, -1]),
      integers(inner('points×tiles×channels'), [points, -1, input.channels]),
      integers(inner('points×channels×channels'), [points, input.channels, outputChannels]),
      integers(inner('one×rest'), [1, -1]),
      { name: inner('input'), dims: [points, points], data: transform.input.data },
      { name: inner('kernel'), dims: [points, 9], data: transform.kernel.data },
      { name: inner('output'), dims: [tilePixels, points], data: transform.output.data },
      {
        name: inner('weight'),
        dims: [9, input.channels * outputChannels],
        data: tapsFirst(folded.weight, outputChannels, input.channels),
      },
    ],
  };
}

function reshape(input: string, shape: string): GraphNode {
  return { operator: 'Reshape', inputs: [input, shape], output: `${input}/${shape.slice(shape.lastIndexOf('/') + 1)}` };
}

/** Transposes weights from (out, in, 3, 3) to (9, in, out). */
function tapsFirst(weight: Float32Array, outputChannels: number, inputChannels: number): Float32Array {
  const result = new Float32Array(weight.length);
  for (let from = 0; from < weight.length; from += 1) {
    const tap = from % 9;
    const pair = (from - tap) / 9;
    const source = pair % inputChannels;
    result[(tap * inputChannels + source) * outputChannels + (pair - source) / inputChannels] = weight[from] ?? 0;
  }
  return result;
}

/** Repeats the bias for every tile; the zero position gets zeros. */
function repeatedBias(bias: Float32Array, tiles: number): Float32Array {
  const result = new Float32Array(tiles * bias.length);
  for (let tile = 0; tile < tiles - 1; tile += 1) result.set(bias, tile * bias.length);
  return result;
}
