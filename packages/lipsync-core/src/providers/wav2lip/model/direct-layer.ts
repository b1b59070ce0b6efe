import type { BatchNorm, LayerTensors } from './layer-tensors.ts';
import type { Layer } from './network.ts';

/** One picture's activations: channels, rows, columns, in row-major order. */
export interface Activations {
  readonly data: Float32Array;
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
}

export interface Place {
  readonly channel: number;
  readonly row: number;
  readonly column: number;
}

export interface DirectValue {
  readonly value: number;
  /** Sum of the magnitudes of all that was added up: rounding errors are in proportion to it. */
  readonly magnitude: number;
}

/** What PyTorch adds to the variance unless told otherwise. */
const epsilon = 1e-5;

/**
 * One value of what a layer gives, by its definition and in doubles: convolution, batch-norm as it was trained, the
 * input added, ReLU. Slow and shares nothing with the graph, which it is there to be compared with.
 */
export function layerValueAt(layer: Layer, tensors: LayerTensors, input: Activations, place: Place): DirectValue {
  const sum =
    layer.kind === 'transposed' ? scattered(layer, tensors, input, place) : gathered(layer, tensors, input, place);
  const normed = tensors.norm === null ? sum : normalized(sum, tensors.norm, place.channel);
  if (layer.kind === 'plain') return normed;
  const added = layer.residual ? valueAt(input, place) : 0;
  return { value: Math.max(0, normed.value + added), magnitude: normed.magnitude + Math.abs(added) };
}

/** Rows and columns of what a layer makes of so many rows and columns. */
export function outputSides(
  { kind, kernel, strides, padding, outputPadding }: Layer,
  sides: readonly [number, number],
): [number, number] {
  const side = (size: number, stride: number): number =>
    kind === 'transposed'
      ? (size - 1) * stride - 2 * padding + kernel + outputPadding
      : Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return [side(sides[0], strides[0]), side(sides[1], strides[1])];
}

/** A convolution: every output looks at the inputs below its kernel. */
function gathered(
  layer: Layer,
  { weight, bias }: LayerTensors,
  input: Activations,
  { channel, row, column }: Place,
): DirectValue {
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

/** A transposed convolution: every input adds its kernel, spread out by the stride; seen here from the output. */
function scattered(
  layer: Layer,
  { weight, bias }: LayerTensors,
  input: Activations,
  { channel, row, column }: Place,
): DirectValue {
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
  term: (source: number, kernelRow: number, kernelColumn: number) => number,
): DirectValue {
  let value = start;
  let magnitude = Math.abs(start);
  for (let index = 0; index < inputChannels * kernel * kernel; index += 1) {
    const tap = index % (kernel * kernel);
    const product = term(Math.floor(index / (kernel * kernel)), Math.floor(tap / kernel), tap % kernel);
    value += product;
    magnitude += Math.abs(product);
  }
  return { value, magnitude };
}

function normalized({ value, magnitude }: DirectValue, norm: BatchNorm, channel: number): DirectValue {
  const [scale = 0, shift = 0, mean = 0, variance = 0] = [
    norm.scale[channel],
    norm.shift[channel],
    norm.mean[channel],
    norm.variance[channel],
  ];
  const deviation = Math.sqrt(variance + epsilon);
  return {
    value: ((value - mean) / deviation) * scale + shift,
    magnitude: ((magnitude + Math.abs(mean)) / deviation) * Math.abs(scale) + Math.abs(shift),
  };
}

/** 0 outside of the picture, and between its pixels. */
function valueAt({ data, channels, rows, columns }: Activations, { channel, row, column }: Place): number {
  const inside = channel < channels && row >= 0 && row < rows && column >= 0 && column < columns;
  return inside && Number.isInteger(row) && Number.isInteger(column)
    ? (data[(channel * rows + row) * columns + column] ?? 0)
    : 0;
}
