import { normalizeValue, type ReferenceValue } from '../../../inference/models/batch-norm.ts';
import type { ActivationIndex, Activations } from '../../../inference/models/convolution.ts';
import type { LayerTensors } from './layer-weights.ts';
import type { Layer } from './network.ts';

/**
 * Reference implementation of one output value in float64: convolution, batch normalization, residual connection, ReLU.
 * Slow, and independent of the graph that it verifies.
 */
export function layerValueAt(
  layer: Layer,
  tensors: LayerTensors,
  input: Activations,
  index: ActivationIndex,
): ReferenceValue {
  const sum =
    layer.kind === 'transposed'
      ? convolveTransposed(layer, tensors, input, index)
      : convolve(layer, tensors, input, index);
  const normalizedSum = tensors.norm === null ? sum : normalizeValue(sum, tensors.norm, { channel: index.channel });
  if (layer.kind === 'plain') return normalizedSum;
  const added = layer.residual ? valueAt(input, index) : 0;
  return { value: Math.max(0, normalizedSum.value + added), magnitude: normalizedSum.magnitude + Math.abs(added) };
}

/** Output rows and columns for the given input rows and columns. */
export function outputSize(
  { kind, kernel, strides, padding, outputPadding }: Layer,
  sides: readonly [number, number],
): [number, number] {
  const side = (size: number, stride: number): number =>
    kind === 'transposed'
      ? (size - 1) * stride - 2 * padding + kernel + outputPadding
      : Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return [side(sides[0], strides[0]), side(sides[1], strides[1])];
}

/** A convolution: each output is a weighted sum of the inputs under the kernel. */
function convolve(
  layer: Layer,
  { weight, bias }: LayerTensors,
  input: Activations,
  { channel, row, column }: ActivationIndex,
): ReferenceValue {
  const { kernel, strides, padding, inputChannels } = layer;
  return sumOver(layer, bias[channel] ?? 0, (source, kernelRow, kernelColumn) => {
    const from = {
      channel: source,
      row: row * strides[0] - padding + kernelRow,
      column: column * strides[1] - padding + kernelColumn,
    };
    const tap = ((channel * inputChannels + source) * kernel + kernelRow) * kernel + kernelColumn;
    return (weight[tap] ?? 0) * valueAt(input, from);
  });
}

/** A transposed convolution: each input adds its kernel at stride distance; evaluated here per output. */
function convolveTransposed(
  layer: Layer,
  { weight, bias }: LayerTensors,
  input: Activations,
  { channel, row, column }: ActivationIndex,
): ReferenceValue {
  const { kernel, strides, padding, outputChannels } = layer;
  return sumOver(layer, bias[channel] ?? 0, (source, kernelRow, kernelColumn) => {
    const from = {
      channel: source,
      row: (row + padding - kernelRow) / strides[0],
      column: (column + padding - kernelColumn) / strides[1],
    };
    const tap = ((source * outputChannels + channel) * kernel + kernelRow) * kernel + kernelColumn;
    return (weight[tap] ?? 0) * valueAt(input, from);
  });
}

function sumOver(
  { inputChannels, kernel }: Layer,
  start: number,
  termOf: (source: number, kernelRow: number, kernelColumn: number) => number,
): ReferenceValue {
  let value = start;
  let magnitude = Math.abs(start);
  for (let term = 0; term < inputChannels * kernel * kernel; term += 1) {
    const tap = term % (kernel * kernel);
    const product = termOf(Math.floor(term / (kernel * kernel)), Math.floor(tap / kernel), tap % kernel);
    value += product;
    magnitude += Math.abs(product);
  }
  return { value, magnitude };
}

/** The value at an index; 0 outside of the image and at fractional rows or columns. */
function valueAt({ data, channels, rows, columns }: Activations, { channel, row, column }: ActivationIndex): number {
  const inside = channel < channels && row >= 0 && row < rows && column >= 0 && column < columns;
  return inside && Number.isInteger(row) && Number.isInteger(column)
    ? (data[(channel * rows + row) * columns + column] ?? 0)
    : 0;
}
