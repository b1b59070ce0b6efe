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
    kernel_shape: [kernel, kernel], strides, pads: [padding, padding, padding, padding],
    ...(transposed ? { output_padding: [outputPadding, outputPadding] } : {}),
  };
  const sum = kind === 'plain' ? name : `${name}/sum`;
  const convolution = { operator: transposed ? 'ConvTranspose' : 'Conv', inputs: [input, `${name}/weight`, `${name}/bias`], output: sum, attributes };
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

/** A transposed convolution without padding of pictures of one pixel: each output is a sum over channels. */
export function spreadingLayer({ name, kernel, inputChannels, outputChannels }: Layer, { weight, bias }: FoldedLayer, input: string): GraphPart {
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
      { name: `${name}/bias`, dims: [outputs], data: Float32Array.from({ length: outputs }, (_, index) => bias[Math.floor(index / area)] ?? 0) },
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
  for (let index = 0; index < values.length; index += 1) values[index] = Math.max(-halfLargest, Math.min(halfLargest, values[index] ?? 0));
  return new Float16Array(values);
}
