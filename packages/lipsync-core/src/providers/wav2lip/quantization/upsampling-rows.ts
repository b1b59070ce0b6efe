import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type { Layer } from '../model/network.ts';

/** A convolution whose output channels are the two columns of a pixel pair, each with all channels of the layer. */
interface RowConvolution {
  /** Rows and columns. */
  readonly kernel: readonly [number, number];
  weightsOf(layer: Layer, folded: FoldedLayer): FoldedLayer;
}

/** Kernel indices along an axis by input offset, for outputs at even and at odd positions; null for a zero weight. */
type Taps = readonly (number | null)[];
const evenTaps: Taps = [1, null];
const oddTaps: Taps = [2, 0];

/**
 * A transposed convolution with stride 2, kernel 3, padding 1 and output padding 1 as two convolutions: one for the
 * even rows of the output, one for the odd ones. Output position 2i is input i · kernel 1, and 2i + 1 is input
 * i · kernel 2 + input (i + 1) · kernel 0. Their rows in turn are the image; no pixel has to be moved on its own.
 */
export const rowConvolutions: readonly RowConvolution[] = [
  { kernel: [1, 2], weightsOf: (layer, folded) => rowWeights(layer, folded, [1]) },
  { kernel: [2, 2], weightsOf: (layer, folded) => rowWeights(layer, folded, oddTaps) },
];

function rowWeights(
  { inputChannels, outputChannels, kernel }: Layer,
  { weight, bias }: FoldedLayer,
  rowTaps: Taps,
): FoldedLayer {
  const taps = [evenTaps, oddTaps].map((columnTaps) =>
    rowTaps.flatMap((row) =>
      columnTaps.map((column) => (row === null || column === null ? null : row * kernel + column)),
    ),
  );
  const perPixel = outputChannels * inputChannels * rowTaps.length * oddTaps.length;
  const values = new Float32Array(taps.length * perPixel);
  for (const [pixel, kernelTaps] of taps.entries()) {
    for (let index = 0; index < perPixel; index += 1) {
      const tap = kernelTaps[index % kernelTaps.length] ?? null;
      const pair = Math.floor(index / kernelTaps.length);
      const [output, input] = [Math.floor(pair / inputChannels), pair % inputChannels];
      if (tap !== null)
        values[pixel * perPixel + index] = weight[(input * outputChannels + output) * kernel ** 2 + tap] ?? 0;
    }
  }
  const doubled = new Float32Array(2 * outputChannels);
  doubled.set(bias);
  doubled.set(bias, outputChannels);
  return { weight: values, bias: doubled };
}
