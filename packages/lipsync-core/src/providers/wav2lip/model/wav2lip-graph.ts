import type { GraphNode, OnnxGraph } from '../../../inference/onnx-writer.ts';
import { melBandCount, melChunkColumns } from '../features/index.ts';
import { phaseGrid, tileGrid, tileSideFor, type CellGrid } from './cell-grid.ts';
import {
  batchSizes,
  doublingLayer,
  doublingLayerToPicture,
  enterCells,
  joinCells,
  winogradLayer,
  type CellPart,
  type CellTensor,
  type GraphPart,
} from './cell-layers.ts';
import { foldBatchNorm, type FoldedLayer } from './fold-batch-norm.ts';
import { foldResidual } from './fold-residual.ts';
import { readLayerTensors, type TensorSource } from './layer-tensors.ts';
import { officialCropSizePx } from './model-facts.ts';
import { layersOf, type Layer, type Wav2LipNetwork } from './network.ts';
import { cast, gpuPictureLayer, pictureLayer, spreadingLayer, type ElementType } from './picture-layers.ts';

/**
 * How the layers are written: `plain`, each as its definition says but for channels of zeros, for GPUs; or
 * `rewritten`, with fewer multiplications and fewer passes over memory, for a CPU. Both compute the same up to rounding.
 */
export type GraphForm = 'plain' | 'rewritten';

export type GraphOptions = GraphKind & { readonly metadata?: Readonly<Record<string, string>> };

/** Half precision is for GPUs, which want plain layers. */
export type GraphKind =
  | { readonly elementType: 'float32'; readonly form: GraphForm }
  | { readonly elementType: 'float16'; readonly form: 'plain' };

export const melInputName = 'mel_spectrogram';
export const framesInputName = 'video_frames';
export const outputName = 'predicted_frames';

/** The largest pictures that are rewritten: of larger ones, which have few channels, memory costs more than multiplying. */
const largestCellSidePx = 48;

/**
 * The network as an ONNX graph for batches of any size, with batch-norm folded into the convolutions. Every layer's
 * result has the layer's name; its input is found with `layerInputs`, and with `layerGrids` which of them are not
 * pictures but cells. Throws what the source throws.
 */
export async function wav2lipGraph(
  network: Wav2LipNetwork,
  source: TensorSource,
  { metadata = {}, ...kind }: GraphOptions,
): Promise<OnnxGraph> {
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
    ...joined(networkParts(network, folded, kind)),
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

/** Where the pixels lie in those layers' results and inputs that are cells, by their names. */
export function layerGrids(network: Wav2LipNetwork, form: GraphForm): ReadonlyMap<string, CellGrid> {
  const grids = new Map<string, CellGrid>();
  for (const [index, group] of network.faceDecoder.entries()) {
    if (!inCells(network, index, form)) continue;
    const sidePx = decodedSidePx(network, index);
    const last = tileGrid(sidePx, tileSideFor(sidePx));
    for (const { name, kind } of group) grids.set(name, kind === 'transposed' ? phaseGrid(sidePx) : last);
    grids.set(joinedName(index), last);
  }
  return grids;
}

type Folded = ReadonlyMap<string, FoldedLayer>;

function networkParts(network: Wav2LipNetwork, folded: Folded, { elementType, form }: GraphKind): GraphPart[] {
  const inputs = layerInputs(network, elementType);
  const half = elementType === 'float16';
  const pictureParts = (layers: readonly Layer[]): GraphPart[] =>
    layers.map((layer) => {
      const [values, input] = [foldedOf(layer, folded), inputs.get(layer.name) ?? ''];
      if (form === 'plain') return gpuPictureLayer(layer, values, input, elementType);
      if (layer.kind === 'transposed' && layer.padding === 0) return spreadingLayer(layer, values, input);
      return pictureLayer({ ...layer, residual: false }, foldResidual(layer, values), input, elementType);
    });
  const last = network.outputBlock.at(-1)?.name ?? '';
  return [
    ...(half
      ? [
          alone(
            ...[melInputName, framesInputName].map((name) => cast(name, networkInput(name, elementType), 'float16')),
          ),
        ]
      : []),
    ...pictureParts([...network.audioEncoder, ...network.faceEncoder.flat()]),
    ...(form === 'rewritten' ? [batchSizes(melInputName)] : []),
    ...network.faceDecoder.flatMap((group, index) => {
      if (inCells(network, index, form)) return cellGroup(network, index, folded);
      const [first, ...rest] = group;
      const fromCells = first && inCells(network, index - 1, form);
      const parts = fromCells
        ? [
            doublingLayerToPicture(first, foldedOf(first, folded), joinedCells(network, index - 1)),
            ...pictureParts(rest),
          ]
        : pictureParts(group);
      return [...parts, pictureJoin(network, index)];
    }),
    ...pictureParts(network.outputBlock),
    alone({ operator: 'Sigmoid', inputs: [last], output: half ? `${outputName}/half` : outputName }),
    ...(half ? [alone(cast(`${outputName}/half`, outputName, 'float32'))] : []),
  ];
}

/** A group of the decoder that is computed in cells, and what is joined behind it. */
function cellGroup(network: Wav2LipNetwork, index: number, folded: Folded): GraphPart[] {
  const [doubling, ...residuals] = network.faceDecoder[index] ?? [];
  if (!doubling) return [];
  const parts: CellPart[] = [];
  const then = (part: CellPart): CellTensor => {
    parts.push(part);
    return part.output;
  };
  const before = joinedCells(network, index - 1);
  const entered = inCells(network, index - 1, 'rewritten')
    ? before
    : then(enterCells({ ...before, sidePx: before.grid.sidePx }));
  let last = then(doublingLayer(doubling, foldedOf(doubling, folded), entered));
  for (const layer of residuals) last = then(winogradLayer(layer, foldResidual(layer, foldedOf(layer, folded)), last));
  const { name, outputChannels } = keptLayer(network, index);
  then(
    joinCells(last, then(enterCells({ name, channels: outputChannels, sidePx: last.grid.sidePx })), joinedName(index)),
  );
  return parts;
}

/** What a group of the decoder gives, joined with the encoder's, where it is cells. */
function joinedCells(network: Wav2LipNetwork, index: number): CellTensor {
  const sidePx = decodedSidePx(network, index);
  const channels = network.faceDecoder[index + 1]?.[0]?.inputChannels ?? 0;
  return { name: joinedName(index), channels, grid: tileGrid(sidePx, tileSideFor(sidePx)) };
}

function pictureJoin(network: Wav2LipNetwork, index: number): GraphPart {
  const decoded = network.faceDecoder[index]?.at(-1)?.name ?? '';
  return alone({
    operator: 'Concat',
    inputs: [decoded, keptLayer(network, index).name],
    output: joinedName(index),
    attributes: { axis: 1 },
  });
}

/** The encoder's layer whose result is joined behind a group of the decoder: deepest first. */
function keptLayer({ faceEncoder }: Wav2LipNetwork, index: number): Layer {
  const layer = faceEncoder.at(-1 - index)?.at(-1);
  if (!layer) throw new RangeError(`The encoder has nothing for group ${index} of the decoder.`);
  return layer;
}

function foldedOf({ name }: Layer, folded: Folded): FoldedLayer {
  const values = folded.get(name);
  if (!values) throw new RangeError(`${name} is not part of the network.`);
  return values;
}

function inCells(network: Wav2LipNetwork, index: number, form: GraphForm): boolean {
  const first = network.faceDecoder[index]?.[0];
  return (
    form === 'rewritten' &&
    first?.kind === 'transposed' &&
    first.strides[0] === 2 &&
    decodedSidePx(network, index) <= largestCellSidePx
  );
}

/** Side of what a group of the decoder gives: each of the last ones doubles it. */
function decodedSidePx({ faceDecoder }: Wav2LipNetwork, index: number): number {
  return officialCropSizePx / 2 ** (faceDecoder.length - 1 - index);
}

function alone(...nodes: readonly GraphNode[]): GraphPart {
  return { nodes, constants: [] };
}

function joined(parts: readonly GraphPart[]): GraphPart {
  return { nodes: parts.flatMap(({ nodes }) => nodes), constants: parts.flatMap(({ constants }) => constants) };
}

function networkInput(name: string, elementType: ElementType): string {
  return elementType === 'float16' ? `${name}/half` : name;
}

function joinedName(group: number): string {
  return `face_decoder_blocks.${group}/joined`;
}
