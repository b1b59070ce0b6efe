import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type { TensorSource } from '../../../inference/models/network-kind.ts';
import type { ElementType, GraphForm, GraphKind } from '../../../inference/models/network-kind.ts';
import type { GraphNode, OnnxGraph } from '../../../inference/onnx-writer.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../mel-chunks.ts';
import { cast, convolutionLayer, gpuConvolutionLayer, singlePixelTransposedLayer } from './convolution-layers.ts';
import { decodedSidePx, firstDecoderRows, isRewritten } from './decoder-rows.ts';
import { integers, type GraphPart } from './graph-part.ts';
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
  type LayoutPart,
  type LayoutTensor,
  type PixelLayout,
} from './pixel-layout.ts';
import { integersByStart, startRowInputName, startRows, startVariant } from './start-rows.ts';
import { winogradLayer } from './winograd.ts';

export const melInputName = 'mel_spectrogram';
export const framesInputName = 'video_frames';
export const outputName = 'predicted_frames';

/**
 * Builds the network as an ONNX graph with a dynamic batch axis and folded batch normalization. Each layer's output
 * tensor has the layer's name; `layerInputs` gives its input, and `layerLayouts` the tensors that are not NCHW. The
 * rewritten form draws the picture from the row on that its input `start_row` states. Throws the errors of the source.
 */
export async function wav2lipGraph(network: Wav2LipNetwork, source: TensorSource, kind: GraphKind): Promise<OnnxGraph> {
  const folded = new Map<string, FoldedLayer>();
  for (const layer of layersOf(network))
    folded.set(layer.name, foldBatchNorm(layer, await readLayerTensors(layer, source)));
  const side = officialCropSizePx;
  const hasStartRow = kind.form === 'rewritten';
  return {
    name: 'wav2lip',
    inputs: [
      { name: melInputName, dims: ['batch', 1, melBandCount, melChunkColumns] },
      { name: framesInputName, dims: ['batch', 6, side, side] },
      ...(hasStartRow ? [{ name: startRowInputName, dims: [1], elementType: 'int64' as const }] : []),
    ],
    outputs: [{ name: outputName, dims: ['batch', 3, hasStartRow ? 'rows' : side, side] }],
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

/** Layouts by tensor name of the layer inputs and outputs that are not NCHW, when the model draws the whole picture. */
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

/** What a part of the graph is built from. */
interface GraphSource {
  readonly network: Wav2LipNetwork;
  /** Weights by layer name. */
  readonly folded: ReadonlyMap<string, FoldedLayer>;
  /** `firstDecoderRows` by start row. */
  readonly firstRows: ReadonlyMap<number, ReadonlyMap<string, number>>;
}

function networkParts(
  network: Wav2LipNetwork,
  folded: GraphSource['folded'],
  { elementType, form }: GraphKind,
): GraphPart[] {
  const inputs = layerInputs(network, elementType);
  const source: GraphSource = {
    network,
    folded,
    firstRows: new Map(startRows.map((startRow) => [startRow, firstDecoderRows(network, startRow)])),
  };
  const isHalf = elementType === 'float16';
  const imageParts = (layers: readonly Layer[]): GraphPart[] =>
    layers.map((layer) => {
      const [weights, input] = [foldedOf(layer, source), inputs.get(layer.name) ?? ''];
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
    ...(form === 'rewritten' ? [batchShapes(melInputName), startVariant(officialCropSizePx)] : []),
    ...network.faceDecoder.flatMap((group, index) => {
      if (isRewritten(network, index, form)) return rewrittenGroup(source, index);
      const [first, ...rest] = group;
      if (!first || !isRewritten(network, index - 1, form))
        return [...imageParts(group), skipConcatenation(network, index, skipLayer(network, index).name)];
      return [
        upsamplingLayerToImage(first, {
          folded: foldedOf(first, source),
          input: groupOutput(source, index - 1),
          firstRowFrom: firstRowsOf(first, source),
        }),
        ...imageParts(rest),
        ...cutSkipConcatenation(source, index, first),
      ];
    }),
    ...imageParts(network.outputBlock),
    ...(form === 'rewritten' ? [neededRows(source, last)] : []),
    nodesOnly({
      operator: 'Sigmoid',
      inputs: [form === 'rewritten' ? `${last}/needed` : last],
      output: isHalf ? `${outputName}/half` : outputName,
    }),
    ...(isHalf ? [nodesOnly(cast(`${outputName}/half`, outputName, 'float32'))] : []),
  ];
}

/** A rewritten decoder group and its skip connection. */
function rewrittenGroup(source: GraphSource, index: number): GraphPart[] {
  const { network } = source;
  const [upsampling, ...residuals] = network.faceDecoder[index] ?? [];
  if (!upsampling) return [];
  const parts: LayoutPart[] = [];
  const add = (part: LayoutPart): LayoutTensor => {
    parts.push(part);
    return part.output;
  };
  const previous = groupOutput(source, index - 1);
  let last = isRewritten(network, index - 1, 'rewritten') ? previous : add(imageToLayout(previous));
  for (const layer of [upsampling, ...residuals]) {
    const options = {
      folded: foldResidual(layer, foldedOf(layer, source)),
      input: last,
      firstRowFrom: firstRowsOf(layer, source),
    };
    last = add(layer === upsampling ? upsamplingLayer(layer, options) : winogradLayer(layer, options));
  }
  const { name, outputChannels } = skipLayer(network, index);
  const skip = add(imageToLayout({ name, channels: outputChannels, sidePx: last.sidePx }));
  add(concatenateChannels(last, skip, skipName(index)));
  return parts;
}

/** The output of a decoder group after its skip connection. */
function groupOutput(source: GraphSource, index: number): LayoutTensor {
  const { network } = source;
  const sidePx = decodedSidePx(network, index);
  const last = network.faceDecoder[index]?.at(-1);
  return {
    name: skipName(index),
    channels: network.faceDecoder[index + 1]?.[0]?.inputChannels ?? 0,
    sidePx,
    layoutFrom: (startRow) => tileLayout(sidePx, tileSideFor(sidePx), last ? firstRowsOf(last, source)(startRow) : 0),
  };
}

/** The first row that a layer computes, by start row. */
function firstRowsOf({ name }: Layer, { firstRows }: GraphSource): (startRow: number) => number {
  return (startRow) => firstRows.get(startRow)?.get(name) ?? 0;
}

/** The skip connection of a decoder group whose first layer computes some rows of the picture. */
function cutSkipConcatenation(source: GraphSource, index: number, first: Layer): GraphPart[] {
  const { name } = skipLayer(source.network, index);
  return [
    sliceRows(name, `${name}/rows`, firstRowsOf(first, source)),
    skipConcatenation(source.network, index, `${name}/rows`),
  ];
}

/** Removes the halo from the picture. */
function neededRows(source: GraphSource, name: string): GraphPart {
  const first = source.network.faceDecoder.at(-1)?.[0];
  const computedFrom = first ? firstRowsOf(first, source) : (): number => 0;
  return sliceRows(name, `${name}/needed`, (startRow) => startRow - computedFrom(startRow));
}

/** The rows of an NCHW tensor without as many of the first ones as `skippedFrom` returns. */
function sliceRows(name: string, output: string, skippedFrom: (startRow: number) => number): GraphPart {
  const skipped = integersByStart(`${output}/skipped`, (startRow) => [skippedFrom(startRow)]);
  const [end, axis] = [`${output}/end`, `${output}/axis`];
  return {
    nodes: [...skipped.nodes, { operator: 'Slice', inputs: [name, `${output}/skipped`, end, axis], output }],
    constants: [...skipped.constants, integers(end, [officialCropSizePx]), integers(axis, [2])],
  };
}

function skipConcatenation(network: Wav2LipNetwork, index: number, skip: string): GraphPart {
  const decoded = network.faceDecoder[index]?.at(-1)?.name ?? '';
  return nodesOnly({
    operator: 'Concat',
    inputs: [decoded, skip],
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

function foldedOf({ name }: Layer, { folded }: GraphSource): FoldedLayer {
  const values = folded.get(name);
  if (!values) throw new RangeError(`The layer ${name} is not part of the network.`);
  return values;
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
