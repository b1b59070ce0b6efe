/// <reference lib="es2025.float16" />
import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type { ElementType } from '../../../inference/models/network-kind.ts';
import { onnxElementType, type GraphNode } from '../../../inference/onnx-writer.ts';
import { integers, type GraphPart } from './graph-part.ts';
import { weightDims } from './layer-weights.ts';
import type { Layer } from './network.ts';

const maxFloat16 = 65_504;

export interface ConvolutionLayerOptions {
  readonly layer: Layer;
  readonly folded: FoldedLayer;
  /** Name of the NCHW input. */
  readonly input: string;
  readonly elementType: ElementType;
}

/** A layer with the ONNX operators of its definition. */
export function convolutionLayer({ layer, folded, input, elementType }: ConvolutionLayerOptions): GraphPart {
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
  const addition = residual ? [{ operator: 'Add', inputs: [sum, input], output: `${name}/raised` }] : [];
  const activation = { operator: 'Relu', inputs: [residual ? `${name}/raised` : sum], output: name };
  return {
    nodes: kind === 'plain' ? [convolution] : [convolution, ...addition, activation],
    constants: [
      { name: `${name}/weight`, dims: weightDims(layer), data: toElementType(folded.weight, elementType) },
      { name: `${name}/bias`, dims: [layer.outputChannels], data: toElementType(folded.bias, elementType) },
    ],
  };
}

/** WebGPU kernels read channels in vectors of four. */
const vectorChannels = 4;

/**
 * Same as `convolutionLayer`, for GPUs: an input whose channel count is a multiple of 3 but not of 4 is padded with
 * zero channels. On WebGPU, ONNX Runtime 1.30 silently computes such convolutions incorrectly when the output channels
 * are a multiple of 4 (https://github.com/microsoft/onnxruntime/issues/29651).
 */
export function gpuConvolutionLayer({ layer, folded, input, elementType }: ConvolutionLayerOptions): GraphPart {
  const { name, kind, inputChannels, residual } = layer;
  const missing = (vectorChannels - (inputChannels % vectorChannels)) % vectorChannels;
  if (kind === 'transposed' || residual || inputChannels % 3 !== 0 || missing === 0)
    return convolutionLayer({ layer, folded, input, elementType });
  const [padded, pads] = [`${name}/widened`, `${name}/edges`];
  const paddedLayer = { ...layer, inputChannels: inputChannels + missing };
  const part = convolutionLayer({
    layer: paddedLayer,
    folded: { ...folded, weight: padInputChannels(layer, folded.weight, paddedLayer.inputChannels) },
    input: padded,
    elementType,
  });
  return {
    nodes: [{ operator: 'Pad', inputs: [input, pads], output: padded }, ...part.nodes],
    constants: [integers(pads, [0, 0, 0, 0, 0, missing, 0, 0]), ...part.constants],
  };
}

/** Extends convolution weights with zeros for additional input channels. */
function padInputChannels(
  { inputChannels, outputChannels, kernel }: Layer,
  weight: Float32Array,
  channels: number,
): Float32Array {
  const area = kernel * kernel;
  const padded = new Float32Array(outputChannels * channels * area);
  for (let output = 0; output < outputChannels; output += 1) {
    padded.set(
      weight.subarray(output * inputChannels * area, (output + 1) * inputChannels * area),
      output * channels * area,
    );
  }
  return padded;
}

/** An unpadded transposed convolution of 1 × 1 images with ReLU, as a matrix product over channels. */
export function singlePixelTransposedLayer(
  { name, kernel, inputChannels, outputChannels }: Layer,
  { weight, bias }: FoldedLayer,
  input: string,
): GraphPart {
  const area = kernel * kernel;
  const outputs = outputChannels * area;
  return {
    nodes: [
      { operator: 'Reshape', inputs: [input, `${name}/pixel`], output: `${name}/pixels` },
      { operator: 'Gemm', inputs: [`${name}/pixels`, `${name}/weight`, `${name}/bias`], output: `${name}/sum` },
      { operator: 'Relu', inputs: [`${name}/sum`], output: `${name}/flat` },
      { operator: 'Reshape', inputs: [`${name}/flat`, `${name}/picture`], output: name },
    ],
    constants: [
      integers(`${name}/pixel`, [-1, inputChannels]),
      integers(`${name}/picture`, [-1, outputChannels, kernel, kernel]),
      { name: `${name}/weight`, dims: [inputChannels, outputs], data: weight },
      {
        name: `${name}/bias`,
        dims: [outputs],
        data: Float32Array.from({ length: outputs }, (_, index) => bias[Math.floor(index / area)] ?? 0),
      },
    ],
  };
}

/** A node that converts a tensor to another element type. */
export function cast(input: string, output: string, to: ElementType): GraphNode {
  return { operator: 'Cast', inputs: [input], output, attributes: { to: onnxElementType[to] } };
}

/** Converts to the element type. float16 rounds to nearest even and clamps to the largest finite value. */
function toElementType(values: Float32Array, elementType: ElementType): Float32Array | Float16Array {
  if (elementType === 'float32') return values;
  for (let index = 0; index < values.length; index += 1)
    values[index] = Math.max(-maxFloat16, Math.min(maxFloat16, values[index] ?? 0));
  return new Float16Array(values);
}
