/**
 * Winograd's minimal filtering for 3 × 3 kernels (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
 * 2015): a tile of outputs is Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A, with fewer multiplications than outputs times taps. Here each
 * pair of sides is one matrix over flattened tiles, Kronecker's product of the one-dimensional matrix with itself.
 */

/** A matrix in row-major order. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** Sides of output tiles for which there is a transform. */
export type TileSidePx = 2 | 4;

export interface WinogradTransform {
  /** Side of the tile of inputs: two more than of outputs. */
  readonly inputSidePx: number;
  /** Inputs of a tile to its points. */
  readonly input: Matrix;
  /** Nine taps to points. */
  readonly kernel: Matrix;
  /** Products at the points to outputs of the tile. */
  readonly output: Matrix;
}

interface OneDimensional {
  readonly input: readonly (readonly number[])[];
  readonly kernel: readonly (readonly number[])[];
  readonly output: readonly (readonly number[])[];
}

/** The points are 0, 1, −1, (2, −2,) and infinity. */
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

/** The transform for output tiles of a side. */
export function winogradTransform(tileSidePx: TileSidePx): WinogradTransform {
  const { input, kernel, output } = oneDimensional[tileSidePx];
  return { inputSidePx: tileSidePx + 2, input: squared(input), kernel: squared(kernel), output: squared(output) };
}

/** Kronecker's product of a matrix with itself. */
function squared(matrix: readonly (readonly number[])[]): Matrix {
  const data = matrix.flatMap((upper) =>
    matrix.flatMap((lower) => upper.flatMap((left) => lower.map((right) => left * right))),
  );
  return { rows: matrix.length ** 2, columns: (matrix[0]?.length ?? 0) ** 2, data: Float32Array.from(data) };
}
