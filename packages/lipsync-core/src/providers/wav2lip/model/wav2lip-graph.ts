/// <reference lib="es2025.float16" />
import { onnxElementType, type GraphConstant, type GraphNode, type OnnxGraph } from '../../../inference/onnx-writer.ts';
import { melBandCount, melChunkColumns } from '../features/index.ts';
import { foldBatchNorm } from './fold-batch-norm.ts';
import { readLayerTensors, weightDims, type TensorSource } from './layer-tensors.ts';
import { officialCropSizePx } from './model-facts.ts';
import { layersOf, type Layer, type Wav2LipNetwork } from './network.ts';

/** Of weights and of what is computed with them; inputs and outputs are float32 whatever it is. */
export type ElementType = 'float32' | 'float16';

export interface GraphOptions {
  readonly elementType: ElementType;
  readonly metadata?: Readonly<Record<string, string>>;
}

export const melInputName = 'mel_spectrogram';
export const framesInputName = 'video_frames';
export const outputName = 'predicted_frames';

const halfLargest = 65_504;

/**
 * The network as an ONNX graph for batches of any size, with batch-norm folded into the convolutions. Every layer's
 * result has the layer's name; its input is found with `layerInputs`. Throws what the source throws.
 */
export async function wav2lipGraph(network: Wav2LipNetwork, source: TensorSource, { elementType, metadata = {} }: GraphOptions): Promise<OnnxGraph> {
  const constants: GraphConstant[] = [];
  for (const layer of layersOf(network)) {
    const { weight, bias } = foldBatchNorm(layer, await readLayerTensors(layer, source));
    constants.push(
      { name: weightName(layer), dims: weightDims(layer), data: inPrecision(weight, elementType) },
      { name: biasName(layer), dims: [layer.outputChannels], data: inPrecision(bias, elementType) },
    );
  }
  const side = officialCropSizePx;
  return {
    name: 'wav2lip',
    inputs: [
      { name: melInputName, dims: ['batch', 1, melBandCount, melChunkColumns] },
      { name: framesInputName, dims: ['batch', 6, side, side] },
    ],
    outputs: [{ name: outputName, dims: ['batch', 3, side, side] }],
    constants,
    nodes: networkNodes(network, elementType),
    metadata,
  };
}

/** The name of what each layer reads, by the layer's name. */
export function layerInputs(network: Wav2LipNetwork, elementType: ElementType): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const follow = (layers: readonly Layer[], input: string): string => {
    let last = input;
    for (const { name } of layers) {
      names.set(name, last);
      last = name;
    }
    return last;
  };
  let encoded = networkInput(framesInputName, elementType);
  for (const group of network.faceEncoder) encoded = follow(group, encoded);
  let decoded = follow(network.audioEncoder, networkInput(melInputName, elementType));
  for (const [index, group] of network.faceDecoder.entries()) {
    follow(group, decoded);
    decoded = joinedName(index);
  }
  follow(network.outputBlock, decoded);
  return names;
}

function networkNodes(network: Wav2LipNetwork, elementType: ElementType): GraphNode[] {
  const inputs = layerInputs(network, elementType);
  const half = elementType === 'float16';
  const layerNodes = (layers: readonly Layer[]): GraphNode[] => layers.flatMap((layer) => nodesOf(layer, inputs.get(layer.name) ?? ''));
  const kept = network.faceEncoder.map((group) => group.at(-1)?.name ?? '').reverse();
  const decoder = network.faceDecoder.flatMap((group, index) => [
    ...layerNodes(group),
    { operator: 'Concat', inputs: [group.at(-1)?.name ?? '', kept[index] ?? ''], output: joinedName(index), attributes: { axis: 1 } },
  ]);
  const last = network.outputBlock.at(-1)?.name ?? '';
  return [
    ...(half ? [melInputName, framesInputName].map((name) => cast(name, networkInput(name, elementType), 'float16')) : []),
    ...layerNodes(network.audioEncoder),
    ...layerNodes(network.faceEncoder.flat()),
    ...decoder,
    ...layerNodes(network.outputBlock),
    { operator: 'Sigmoid', inputs: [last], output: half ? `${outputName}/half` : outputName },
    ...(half ? [cast(`${outputName}/half`, outputName, 'float32')] : []),
  ];
}

function nodesOf(layer: Layer, input: string): GraphNode[] {
  const { name, kind, strides, padding, outputPadding, kernel, residual } = layer;
  const transposed = kind === 'transposed';
  const attributes = {
    kernel_shape: [kernel, kernel], strides, pads: [padding, padding, padding, padding],
    ...(transposed ? { output_padding: [outputPadding, outputPadding] } : {}),
  };
  const inputs = [input, weightName(layer), biasName(layer)];
  const operator = transposed ? 'ConvTranspose' : 'Conv';
  if (kind === 'plain') return [{ operator, inputs, output: name, attributes }];
  const sum = `${name}/sum`;
  if (!residual) return [{ operator, inputs, output: sum, attributes }, { operator: 'Relu', inputs: [sum], output: name }];
  const raised = `${name}/raised`;
  return [
    { operator, inputs, output: sum, attributes },
    { operator: 'Add', inputs: [sum, input], output: raised },
    { operator: 'Relu', inputs: [raised], output: name },
  ];
}

/** A node that changes the element type of what it reads. */
export function cast(input: string, output: string, to: ElementType): GraphNode {
  return { operator: 'Cast', inputs: [input], output, attributes: { to: onnxElementType[to] } };
}

function networkInput(name: string, elementType: ElementType): string {
  return elementType === 'float16' ? `${name}/half` : name;
}

function joinedName(group: number): string {
  return `face_decoder_blocks.${group}/joined`;
}

function weightName({ name }: Layer): string {
  return `${name}/weight`;
}

function biasName({ name }: Layer): string {
  return `${name}/bias`;
}

/** Halves are the nearest ones (ties to even); what is too large for a half becomes the largest one. */
function inPrecision(values: Float32Array, elementType: ElementType): Float32Array | Float16Array {
  if (elementType === 'float32') return values;
  for (let index = 0; index < values.length; index += 1) values[index] = Math.max(-halfLargest, Math.min(halfLargest, values[index] ?? 0));
  return new Float16Array(values);
}
