import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type { TensorSource } from '../../../inference/models/network-kind.ts';
import type { ElementType, GraphForm, GraphKind } from '../../../inference/models/network-kind.ts';
import type { GraphNode, OnnxGraph } from '../../../inference/onnx-writer.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../mel-chunks.ts';
import { cast, convolutionLayer, gpuConvolutionLayer, singlePixelTransposedLayer } from './convolution-layers.ts';
import { foldBatchNorm, foldResidual, readLayerTensors } from './layer-weights.ts';
import { officialCropSizePx } from './model-facts.ts';
import { layersOf, type Layer, type Wav2LipNetwork } from './network.ts';
import { upsamplingLayer, upsamplingLayerToImage } from './phase-convolution.ts';
import {
  batchShapes,
  concatenateChannels,
  imageToLayout,
  phaseLayout,
  tileLayout,
  tileSideFor,
  type GraphPart,
  type LayoutPart,
  type LayoutTensor,
  type PixelLayout,
} from './pixel-layout.ts';
import { winogradLayer } from './winograd.ts';

export const melInputName = 'mel_spectrogram';
export const framesInputName = 'video_frames';
export const outputName = 'predicted_frames';

/** Largest image side that is rewritten. Larger images have few channels and are limited by memory bandwidth. */
const maxRewrittenSidePx = 48;

/**
 * Builds the network as an ONNX graph with a dynamic batch axis and folded batch normalization. Each layer's output
 * tensor has the layer's name; `layerInputs` gives its input, and `layerLayouts` the tensors that are not NCHW. Throws
 * the errors of the source.
 */
export async function wav2lipGraph(network: Wav2LipNetwork, source: TensorSource, kind: GraphKind): Promise<OnnxGraph> {
  const folded = new Map<string, FoldedLayer>();
  for (const layer of layersOf(network))
    folded.set(layer.name, foldBatchNorm(layer, await readLayerTensors(layer, source)));
  const side = officialCropSizePx;
  return {
    name: 'wav2lip',
    inputs: [
      { name: melInputName, dims: ['batch', 1, melBandCount, melChunkColumns] },
      { name: framesInputName, dims: ['batch', 6, side, side] },
    ],
    outputs: [{ name: outputName, dims: ['batch', 3, side, side] }],
    ...mergeParts(networkParts(network, folded, kind)),
  };
}

/** Name of the input tensor by layer name. */
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
    decoded = skipName(index);
  }
  follow(network.outputBlock, decoded);
  return names;
}

/** Layouts by tensor name of the layer inputs and outputs that are not NCHW. */
export function layerLayouts(network: Wav2LipNetwork, form: GraphForm): ReadonlyMap<string, PixelLayout> {
  const layouts = new Map<string, PixelLayout>();
  for (const [index, group] of network.faceDecoder.entries()) {
    if (!isRewritten(network, index, form)) continue;
    const sidePx = decodedSidePx(network, index);
    const last = tileLayout(sidePx, tileSideFor(sidePx));
    for (const { name, kind } of group) layouts.set(name, kind === 'transposed' ? phaseLayout(sidePx) : last);
    layouts.set(skipName(index), last);
  }
  return layouts;
}

type Folded = ReadonlyMap<string, FoldedLayer>;

function networkParts(network: Wav2LipNetwork, folded: Folded, { elementType, form }: GraphKind): GraphPart[] {
  const inputs = layerInputs(network, elementType);
  const isHalf = elementType === 'float16';
  const imageParts = (layers: readonly Layer[]): GraphPart[] =>
    layers.map((layer) => {
      const [weights, input] = [foldedOf(layer, folded), inputs.get(layer.name) ?? ''];
      if (form === 'plain') return gpuConvolutionLayer({ layer, folded: weights, input, elementType });
      if (layer.kind === 'transposed' && layer.padding === 0) return singlePixelTransposedLayer(layer, weights, input);
      return convolutionLayer({
        layer: { ...layer, residual: false },
        folded: foldResidual(layer, weights),
        input,
        elementType,
      });
    });
  const last = network.outputBlock.at(-1)?.name ?? '';
  return [
    ...(isHalf
      ? [
          nodesOnly(
            ...[melInputName, framesInputName].map((name) => cast(name, networkInput(name, elementType), 'float16')),
          ),
        ]
      : []),
    ...imageParts([...network.audioEncoder, ...network.faceEncoder.flat()]),
    ...(form === 'rewritten' ? [batchShapes(melInputName)] : []),
    ...network.faceDecoder.flatMap((group, index) => {
      if (isRewritten(network, index, form)) return rewrittenGroup(network, index, folded);
      const [first, ...rest] = group;
      const parts =
        first && isRewritten(network, index - 1, form)
          ? [
              upsamplingLayerToImage(first, foldedOf(first, folded), groupOutput(network, index - 1)),
              ...imageParts(rest),
            ]
          : imageParts(group);
      return [...parts, skipConcatenation(network, index)];
    }),
    ...imageParts(network.outputBlock),
    nodesOnly({ operator: 'Sigmoid', inputs: [last], output: isHalf ? `${outputName}/half` : outputName }),
    ...(isHalf ? [nodesOnly(cast(`${outputName}/half`, outputName, 'float32'))] : []),
  ];
}

/** A rewritten decoder group and its skip connection. */
function rewrittenGroup(network: Wav2LipNetwork, index: number, folded: Folded): GraphPart[] {
  const [upsampling, ...residuals] = network.faceDecoder[index] ?? [];
  if (!upsampling) return [];
  const parts: LayoutPart[] = [];
  const add = (part: LayoutPart): LayoutTensor => {
    parts.push(part);
    return part.output;
  };
  const previous = groupOutput(network, index - 1);
  const input = isRewritten(network, index - 1, 'rewritten')
    ? previous
    : add(imageToLayout({ ...previous, sidePx: previous.layout.sidePx }));
  let last = add(upsamplingLayer(upsampling, foldedOf(upsampling, folded), input));
  for (const layer of residuals) last = add(winogradLayer(layer, foldResidual(layer, foldedOf(layer, folded)), last));
  const { name, outputChannels } = skipLayer(network, index);
  add(
    concatenateChannels(
      last,
      add(imageToLayout({ name, channels: outputChannels, sidePx: last.layout.sidePx })),
      skipName(index),
    ),
  );
  return parts;
}

/** The output of a rewritten decoder group after its skip connection. */
function groupOutput(network: Wav2LipNetwork, index: number): LayoutTensor {
  const sidePx = decodedSidePx(network, index);
  const channels = network.faceDecoder[index + 1]?.[0]?.inputChannels ?? 0;
  return { name: skipName(index), channels, layout: tileLayout(sidePx, tileSideFor(sidePx)) };
}

function skipConcatenation(network: Wav2LipNetwork, index: number): GraphPart {
  const decoded = network.faceDecoder[index]?.at(-1)?.name ?? '';
  return nodesOnly({
    operator: 'Concat',
    inputs: [decoded, skipLayer(network, index).name],
    output: skipName(index),
    attributes: { axis: 1 },
  });
}

/** The encoder layer whose output is concatenated after a decoder group; the deepest belongs to group 0. */
function skipLayer({ faceEncoder }: Wav2LipNetwork, index: number): Layer {
  const layer = faceEncoder.at(-1 - index)?.at(-1);
  if (!layer) throw new RangeError(`Decoder group ${index} has no matching encoder group.`);
  return layer;
}

function foldedOf({ name }: Layer, folded: Folded): FoldedLayer {
  const values = folded.get(name);
  if (!values) throw new RangeError(`The layer ${name} is not part of the network.`);
  return values;
}

/** Whether the rewritten form computes this decoder group in pixel layouts instead of NCHW. */
function isRewritten(network: Wav2LipNetwork, index: number, form: GraphForm): boolean {
  const first = network.faceDecoder[index]?.[0];
  return (
    form === 'rewritten' &&
    first?.kind === 'transposed' &&
    first.strides[0] === 2 &&
    decodedSidePx(network, index) <= maxRewrittenSidePx
  );
}

/** Output side of a decoder group: each of the later groups doubles it. */
function decodedSidePx({ faceDecoder }: Wav2LipNetwork, index: number): number {
  return officialCropSizePx / 2 ** (faceDecoder.length - 1 - index);
}

function nodesOnly(...nodes: readonly GraphNode[]): GraphPart {
  return { nodes, constants: [] };
}

function mergeParts(parts: readonly GraphPart[]): GraphPart {
  return { nodes: parts.flatMap(({ nodes }) => nodes), constants: parts.flatMap(({ constants }) => constants) };
}

function networkInput(name: string, elementType: ElementType): string {
  return elementType === 'float16' ? `${name}/half` : name;
}

function skipName(group: number): string {
  return `face_decoder_blocks.${group}/joined`;
}
