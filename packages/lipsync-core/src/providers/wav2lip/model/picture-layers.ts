/// <reference lib="es2025.float16" />
import { onnxElementType, type GraphConstant, type GraphNode } from '../../../inference/onnx-writer.ts';
import type { GraphPart } from './cell-layers.ts';
import type { FoldedLayer } from './fold-batch-norm.ts';
import { weightDims } from './layer-tensors.ts';
import type { Layer } from './network.ts';

/** Of weights and of what is computed with them; inputs and outputs are float32 whatever it is. */
export type ElementType = 'float32' | 'float16';

const halfLargest = 65_504;

/** A layer as its definition says, on a picture (batch, channels, rows, columns) called `input`. */
export function pictureLayer(layer: Layer, folded: FoldedLayer, input: string, elementType: ElementType): GraphPart {
  const { name, kind, strides, padding, outputPadding, kernel, residual } = layer;
  const transposed = kind === 'transposed';
  const attributes = {
    kernel_shape: [kernel, kernel],
    strides,
    pads: [padding, padding, padding, padding],
    ...(transposed ? { output_padding: [outputPadding, outputPadding] } : {}),
  };
  const sum = kind === 'plain' ? name : `${name}/sum`;
  const convolution = {
    operator: transposed ? 'ConvTranspose' : 'Conv',
    inputs: [input, `${name}/weight`, `${name}/bias`],
    output: sum,
    attributes,
  };
  const raised = residual ? [{ operator: 'Add', inputs: [sum, input], output: `${name}/raised` }] : [];
  const end = { operator: 'Relu', inputs: [residual ? `${name}/raised` : sum], output: name };
  return {
    nodes: kind === 'plain' ? [convolution] : [convolution, ...raised, end],
    constants: [
      { name: `${name}/weight`, dims: weightDims(layer), data: inPrecision(folded.weight, elementType) },
      { name: `${name}/bias`, dims: [layer.outputChannels], data: inPrecision(folded.bias, elementType) },
    ],
  };
}

/** Channels that GPUs read at once. */
const channelsAtOnce = 4;

/**
 * As `pictureLayer`, for GPUs: where the input has three, six, nine… channels that are no multiple of four, it is filled up with
 * channels of zeros first. ONNX Runtime 1.30 convolves such pictures wrongly on WebGPU when the result has a multiple of
 * four (https://github.com/microsoft/onnxruntime/issues/29651), and without a word.
 */
export function gpuPictureLayer(layer: Layer, folded: FoldedLayer, input: string, elementType: ElementType): GraphPart {
  const { name, kind, inputChannels, residual } = layer;
  const missing = (channelsAtOnce - (inputChannels % channelsAtOnce)) % channelsAtOnce;
  if (kind === 'transposed' || residual || inputChannels % 3 !== 0 || missing === 0)
    return pictureLayer(layer, folded, input, elementType);
  const [widened, edges] = [`${name}/widened`, `${name}/edges`];
  const wide = { ...layer, inputChannels: inputChannels + missing };
  const part = pictureLayer(
    wide,
    { ...folded, weight: widenedWeight(layer, folded.weight, wide.inputChannels) },
    widened,
    elementType,
  );
  return {
    nodes: [{ operator: 'Pad', inputs: [input, edges], output: widened }, ...part.nodes],
    constants: [
      { name: edges, dims: [8], data: BigInt64Array.from([0, 0, 0, 0, 0, missing, 0, 0], BigInt) },
      ...part.constants,
    ],
  };
}

/** The weights of a convolution that reads further channels and makes nothing of them. */
function widenedWeight(
  { inputChannels, outputChannels, kernel }: Layer,
  weight: Float32Array,
  channels: number,
): Float32Array {
  const area = kernel * kernel;
  const widened = new Float32Array(outputChannels * channels * area);
  for (let output = 0; output < outputChannels; output += 1) {
    widened.set(
      weight.subarray(output * inputChannels * area, (output + 1) * inputChannels * area),
      output * channels * area,
    );
  }
  return widened;
}

/** A transposed convolution without padding of pictures of one pixel: each output is a sum over channels. */
export function spreadingLayer(
  { name, kernel, inputChannels, outputChannels }: Layer,
  { weight, bias }: FoldedLayer,
  input: string,
): GraphPart {
  const area = kernel * kernel;
  const outputs = outputChannels * area;
  const shapes: GraphConstant[] = [
    { name: `${name}/pixel`, dims: [2], data: BigInt64Array.of(-1n, BigInt(inputChannels)) },
    { name: `${name}/picture`, dims: [4], data: BigInt64Array.from([-1, outputChannels, kernel, kernel], BigInt) },
  ];
  return {
    nodes: [
      { operator: 'Reshape', inputs: [input, `${name}/pixel`], output: `${name}/pixels` },
      { operator: 'Gemm', inputs: [`${name}/pixels`, `${name}/weight`, `${name}/bias`], output: `${name}/sum` },
      { operator: 'Relu', inputs: [`${name}/sum`], output: `${name}/flat` },
      { operator: 'Reshape', inputs: [`${name}/flat`, `${name}/picture`], output: name },
    ],
    constants: [
      ...shapes,
      { name: `${name}/weight`, dims: [inputChannels, outputs], data: weight },
      {
        name: `${name}/bias`,
        dims: [outputs],
        data: Float32Array.from({ length: outputs }, (_, index) => bias[Math.floor(index / area)] ?? 0),
      },
    ],
  };
}

/** A node that changes the element type of what it reads. */
export function cast(input: string, output: string, to: ElementType): GraphNode {
  return { operator: 'Cast', inputs: [input], output, attributes: { to: onnxElementType[to] } };
}

/** Halves are the nearest ones (ties to even); what is too large for a half becomes the largest one. */
function inPrecision(values: Float32Array, elementType: ElementType): Float32Array | Float16Array {
  if (elementType === 'float32') return values;
  for (let index = 0; index < values.length; index += 1)
    values[index] = Math.max(-halfLargest, Math.min(halfLargest, values[index] ?? 0));
  return new Float16Array(values);
}
