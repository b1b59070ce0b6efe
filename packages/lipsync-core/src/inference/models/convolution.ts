import type { GraphConstant, GraphNode } from '../onnx-writer.ts';
import {
  batchNormShapes,
  foldNorm,
  normalizeValue,
  readBatchNorm,
  type BatchNorm,
  type ReferenceValue,
} from './batch-norm.ts';
import type { TensorShape, TensorSource } from './network-kind.ts';

/** A two-dimensional convolution with optional bias, batch normalization and ReLU. */
export interface Convolution {
  /** Name of its output in the graph. */
  readonly name: string;
  /** Name of its input in the graph, (batch, channels, rows, columns). */
  readonly input: string;
  readonly inputChannels: number;
  readonly outputChannels: number;
  /** Rows, columns; like the next two. */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly relu: boolean;
  /**
   * Shape of the weight in the checkpoint, in the element order of (outputChannels, inputChannels, rows, columns). A
   * linear layer and a convolution that covers a whole axis are 2-D convolutions too.
   */
  readonly weightDims: readonly number[];
  /** Prefixes of its tensors in the checkpoint: weight and bias, and batch normalization. */
  readonly weightKey: string;
  readonly hasBias: boolean;
  readonly normKey: string | null;
  /** Epsilon of the batch normalization. */
  readonly epsilon: number;
}

/** The trained parameters of one convolution. */
export interface ConvolutionTensors {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly norm: BatchNorm | null;
}

export interface ConvolutionGraph {
  readonly nodes: readonly GraphNode[];
  readonly constants: readonly GraphConstant[];
}

/** Names and shapes of its tensors in the checkpoint. */
export function convolutionShapes(layer: Convolution): readonly TensorShape[] {
  const { weightKey, weightDims, hasBias, outputChannels, normKey } = layer;
  return [
    { name: `${weightKey}.weight`, dims: weightDims },
    ...(hasBias ? [{ name: `${weightKey}.bias`, dims: [outputChannels] }] : []),
    ...(normKey === null ? [] : batchNormShapes(normKey, outputChannels)),
  ];
}

/** Reads the parameters; a missing bias is zero. Throws the errors of the source. */
export async function readConvolution(
  { weightKey, hasBias, outputChannels, normKey }: Convolution,
  source: TensorSource,
): Promise<ConvolutionTensors> {
  return {
    weight: await source.read(`${weightKey}.weight`),
    bias: hasBias ? await source.read(`${weightKey}.bias`) : new Float32Array(outputChannels),
    norm: normKey === null ? null : await readBatchNorm(normKey, source),
  };
}

/** The convolution as ONNX nodes, with folded batch normalization. Throws the errors of the source. */
export async function convolutionGraph(layer: Convolution, source: TensorSource): Promise<ConvolutionGraph> {
  const { name, input, inputChannels, outputChannels, kernel, strides, relu, epsilon } = layer;
  const { weight, bias, norm } = await readConvolution(layer, source);
  const blockLength = inputChannels * kernel[0] * kernel[1];
  const folded = norm === null ? { weight, bias } : foldNorm({ weight, bias }, norm, { blockLength, epsilon });
  const sum = relu ? `${name}/sum` : name;
  const attributes = { kernel_shape: kernel, strides, pads: [...layer.padding, ...layer.padding] };
  return {
    nodes: [
      { operator: 'Conv', inputs: [input, `${name}/weight`, `${name}/bias`], output: sum, attributes },
      ...(relu ? [{ operator: 'Relu', inputs: [sum], output: name }] : []),
    ],
    constants: [
      { name: `${name}/weight`, dims: [outputChannels, inputChannels, ...kernel], data: folded.weight },
      { name: `${name}/bias`, dims: [outputChannels], data: folded.bias },
    ],
  };
}

/** Values of one batch entry, row-major (channels, rows, columns). */
export interface Activations {
  readonly data: Float32Array;
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
}

/** Index of one activation. */
export interface ActivationIndex {
  readonly channel: number;
  readonly row: number;
  readonly column: number;
}

/** The index of a position in the data of activations. */
export function indexOf(position: number, { rows, columns }: Activations): ActivationIndex {
  return {
    channel: Math.floor(position / (rows * columns)),
    row: Math.floor(position / columns) % rows,
    column: position % columns,
  };
}

/** Output rows and columns for an input. */
export function convolvedSize({ kernel, strides, padding }: Convolution, { rows, columns }: Activations) {
  const size = (side: number, axis: 0 | 1): number =>
    Math.floor((side + 2 * padding[axis] - kernel[axis]) / strides[axis]) + 1;
  return { rows: size(rows, 0), columns: size(columns, 1) };
}

/** Reference implementation of one output value in float64. Slow, and independent of the graph that it verifies. */
export function convolutionValueAt(
  layer: Convolution,
  { weight, bias, norm }: ConvolutionTensors,
  input: Activations,
  { channel, row, column }: ActivationIndex,
): ReferenceValue {
  const { inputChannels, kernel, strides, padding, epsilon, relu } = layer;
  let value = bias[channel] ?? 0;
  let magnitude = Math.abs(value);
  for (let from = 0; from < inputChannels; from += 1) {
    for (let kernelRow = 0; kernelRow < kernel[0]; kernelRow += 1) {
      for (let kernelColumn = 0; kernelColumn < kernel[1]; kernelColumn += 1) {
        const tap = ((channel * inputChannels + from) * kernel[0] + kernelRow) * kernel[1] + kernelColumn;
        const source = {
          channel: from,
          row: row * strides[0] - padding[0] + kernelRow,
          column: column * strides[1] - padding[1] + kernelColumn,
        };
        const product = (weight[tap] ?? 0) * valueAt(input, source);
        value += product;
        magnitude += Math.abs(product);
      }
    }
  }
  const normalized =
    norm === null ? { value, magnitude } : normalizeValue({ value, magnitude }, norm, { channel, epsilon });
  return relu ? { ...normalized, value: Math.max(0, normalized.value) } : normalized;
}

/** 0 outside of the image. */
function valueAt({ data, channels, rows, columns }: Activations, { channel, row, column }: ActivationIndex): number {
  const inside = channel < channels && row >= 0 && row < rows && column >= 0 && column < columns;
  return inside ? (data[(channel * rows + row) * columns + column] ?? 0) : 0;
}
