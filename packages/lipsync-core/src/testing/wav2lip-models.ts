import { melBandCount } from '../audio/mel-spectrogram.ts';
import { onnxElementType, writeOnnxFile, type OnnxGraph } from '../inference/onnx-writer.ts';
import { melChunkColumns } from '../providers/wav2lip/mel-chunks.ts';
import type { TensorSource } from '../inference/models/network-kind.ts';
import type { GraphKind } from '../inference/models/network-kind.ts';
import { officialCropSizePx } from '../providers/wav2lip/model/model-facts.ts';
import { tensorShapes } from '../providers/wav2lip/model/layer-weights.ts';
import {
  layersOf,
  wav2lipNetwork,
  type Layer,
  type Wav2LipNetwork,
  type WidthDivisor,
} from '../providers/wav2lip/model/network.ts';
import { framesInputName, melInputName, outputName, wav2lipGraph } from '../providers/wav2lip/model/wav2lip-graph.ts';
import { chunkMeans, drawMouth, float, integer, moveMouth, referenceCrop, type GraphSteps } from './wav2lip-mouth.ts';
import { seedOf, uniform } from './seeded-values.ts';
import type { FileHash } from '../storage/file-hash.ts';

export interface SeededWav2Lip {
  /** 1 is the released size (145 MB); 16 is a few hundred kilobytes and runs in milliseconds. */
  readonly widthDivisor: WidthDivisor;
  readonly seed: number;
  readonly float16?: boolean;
  /** Writes plain layers; see `GraphForm`. */
  readonly plain?: boolean;
  /** Computes the network but returns a drawn mouth that opens with the loudness, as an assessment expects of a take. */
  readonly movingMouth?: boolean;
}

/**
 * Writes a Wav2Lip model with seeded weights through the graph code of the importer. The file is deterministic; the
 * output is noise that depends on speech and face.
 */
export async function writeSeededWav2Lip(
  path: string,
  { widthDivisor, seed, float16 = false, plain = false, movingMouth = false }: SeededWav2Lip,
): Promise<FileHash> {
  const network = wav2lipNetwork(widthDivisor);
  const kind: GraphKind = float16
    ? { elementType: 'float16', form: 'plain' }
    : { elementType: 'float32', form: plain ? 'plain' : 'rewritten' };
  const graph = await wav2lipGraph(network, seededTensors(network, seed), kind);
  return writeOnnxFile(path, movingMouth ? replaceOutput(graph) : graph);
}

/**
 * Adds nothing of the output of a network to a mouth that moves, so that the runtime still computes it. Of the mouth,
 * the output has the rows that the network draws.
 */
function replaceOutput(graph: OnnxGraph): OnnxGraph {
  const steps: readonly GraphSteps[] = [
    ...drawMouth(officialCropSizePx, 'mouth'),
    {
      nodes: [
        { operator: 'Shape', inputs: ['network'], output: 'network_shape' },
        { operator: 'Gather', inputs: ['network_shape', 'row_axis'], output: 'drawn_rows' },
        { operator: 'Sub', inputs: ['all_rows', 'drawn_rows'], output: 'first_row' },
        { operator: 'Slice', inputs: ['mouth', 'first_row', 'all_rows', 'row_axis'], output: 'drawn_mouth' },
        { operator: 'Mul', inputs: ['network', 'nothing'], output: 'unseen' },
        { operator: 'Add', inputs: ['drawn_mouth', 'unseen'], output: outputName },
      ],
      constants: [float('nothing', 0), integer('row_axis', 2), integer('all_rows', officialCropSizePx)],
    },
  ];
  const renamed = graph.nodes.map((node) => (node.output === outputName ? { ...node, output: 'network' } : node));
  return {
    ...graph,
    nodes: [...renamed, ...steps.flatMap(({ nodes }) => nodes)],
    constants: [...graph.constants, ...steps.flatMap(({ constants = [] }) => constants)],
  };
}

/** Seeded weights of a network by checkpoint name. Each tensor depends only on seed and name. */
export function seededTensors(
  network: Wav2LipNetwork,
  seed: number,
): TensorSource & { readonly shapes: ReadonlyMap<string, readonly number[]> } {
  const layers = layersOf(network).flatMap((layer) =>
    tensorShapes(layer).map(({ name, dims }) => ({ name, dims, layer })),
  );
  const byName = new Map(layers.map((entry) => [entry.name, entry]));
  return {
    shapes: new Map(layers.map(({ name, dims }) => [name, dims])),
    async read(name) {
      const entry = byName.get(name);
      if (!entry) throw new RangeError(`The network has no tensor ${name}.`);
      const { low, high } = valueRange(entry.layer, name.slice(entry.layer.name.length));
      return uniform(
        entry.dims.reduce((product, size) => product * size, 1),
        low,
        high,
        seedOf(name, seed),
      );
    },
  };
}

/** Ranges that keep the magnitude of activations stable across layers. */
function valueRange(layer: Layer, name: string): { readonly low: number; readonly high: number } {
  if (name.endsWith('conv_block.1.weight')) return { low: 0.8, high: 1.2 };
  if (name.endsWith('running_var')) return { low: 0.7, high: 1.3 };
  if (name.endsWith('conv_block.1.bias')) return { low: 0, high: 0.2 };
  if (name.endsWith('bias') || name.endsWith('running_mean')) return { low: -0.1, high: 0.1 };
  const limit = Math.sqrt(3 * weightVariance(layer));
  return { low: -limit, high: limit };
}

/** He initialization; smaller before a residual connection, because sums grow, and before the sigmoid. */
function weightVariance({ kind, inputChannels, kernel, strides, residual }: Layer): number {
  const fanIn = (inputChannels * kernel * kernel) / (kind === 'transposed' ? strides[0] * strides[1] : 1);
  const gain = residual ? 0.2 : 2;
  return (kind === 'plain' ? 0.05 : gain) / fanIn;
}

/** Options of small models with the ports of Wav2Lip and a known output. */
export interface TestModelOptions {
  readonly cropSizePx: number;
  /** The only accepted batch size. Defaults to a dynamic batch axis. */
  readonly fixedBatch?: number;
}

export interface FaultModelOptions extends TestModelOptions {
  /** Larger batches fail, as on a device with too little memory. */
  readonly largestBatch?: number;
  /** Batches with a chunk above this mean mel level fail: −5 is always, 5 is never. */
  readonly failAboveMean?: number;
  /** Faces whose chunk is above this mean mel level are all NaN. */
  readonly nanAboveMean?: number;
}

const neverExceeded = 5;

/** Writes a model that returns the reference crop, channels 3 to 5 of its frames input. */
export async function writeIdentityModel(path: string, model: TestModelOptions): Promise<void> {
  await writeModel(path, model, [referenceCrop(outputName)]);
}

/** Writes a model whose output is uniformly gray at the mean of the mel chunk: −4 is black, 4 is white. */
export async function writeMeterModel(path: string, model: TestModelOptions): Promise<void> {
  await writeModel(path, model, [
    referenceCrop('crop'),
    chunkMeans('means'),
    {
      nodes: [
        { operator: 'Mul', inputs: ['crop', 'nothing'], output: 'black' },
        { operator: 'Mul', inputs: ['means', 'eighth'], output: 'scaled' },
        { operator: 'Add', inputs: ['scaled', 'half'], output: 'gray' },
        { operator: 'Add', inputs: ['black', 'gray'], output: outputName },
      ],
      constants: [float('nothing', 0), float('eighth', 1 / 8), float('half', 1 / 2)],
    },
  ]);
}

/**
 * Writes a model that opens the mouth of the reference crop with the loudness of the mel chunk: it moves what is below
 * the lips down and fills the gap with black, in steps.
 */
export async function writeMouthModel(path: string, model: TestModelOptions): Promise<void> {
  await writeModel(path, model, moveMouth(model.cropSizePx, outputName));
}

/** Writes the identity model with injected faults. */
export async function writeFaultModel(path: string, model: FaultModelOptions): Promise<void> {
  const { largestBatch = 2 ** 31, failAboveMean = neverExceeded, nanAboveMean = neverExceeded } = model;
  await writeModel(path, model, [
    referenceCrop('crop'),
    chunkMeans('means'),
    batchAbove(largestBatch, 'too_many'),
    anyMeanAbove(failAboveMean, 'too_loud'),
    failingWhen('too_many', 'crop', 'first'),
    failingWhen('too_loud', 'first', 'second'),
    {
      nodes: [
        { operator: 'Greater', inputs: ['means', 'nan_limit'], output: 'is_nan' },
        { operator: 'Where', inputs: ['is_nan', 'nan', 'nothing'], output: 'addition' },
        { operator: 'Add', inputs: ['second', 'addition'], output: outputName },
      ],
      constants: [float('nan_limit', nanAboveMean), float('nan', Number.NaN), float('nothing', 0)],
    },
  ]);
}

async function writeModel(
  path: string,
  { cropSizePx: side, fixedBatch }: TestModelOptions,
  steps: readonly GraphSteps[],
): Promise<void> {
  const batch = fixedBatch ?? 'batch';
  await writeOnnxFile(path, {
    name: 'test',
    inputs: [
      { name: melInputName, dims: [batch, 1, melBandCount, melChunkColumns] },
      { name: framesInputName, dims: [batch, 6, side, side] },
    ],
    outputs: [{ name: outputName, dims: [batch, 3, side, side] }],
    nodes: steps.flatMap(({ nodes }) => nodes),
    constants: steps.flatMap(({ constants = [] }) => constants),
  });
}

function batchAbove(limit: number, output: string): GraphSteps {
  return {
    nodes: [
      { operator: 'Shape', inputs: [melInputName], output: 'mel_shape' },
      { operator: 'Gather', inputs: ['mel_shape', 'first_axis'], output: 'batch_size' },
      { operator: 'Greater', inputs: ['batch_size', 'batch_limit'], output },
    ],
    constants: [integer('first_axis', 0), integer('batch_limit', limit)],
  };
}

function anyMeanAbove(limit: number, output: string): GraphSteps {
  return {
    nodes: [
      { operator: 'ReduceMax', inputs: ['means'], output: 'loudest', attributes: { keepdims: 0 } },
      { operator: 'Greater', inputs: ['loudest', 'loud_limit'], output },
    ],
    constants: [float('loud_limit', limit)],
  };
}

/** Passes the input through; when the condition holds, fails with an out-of-range Gather index. */
function failingWhen(condition: string, input: string, output: string): GraphSteps {
  return {
    nodes: [
      {
        operator: 'Cast',
        inputs: [condition],
        output: `${condition}/index`,
        attributes: { to: onnxElementType.int64 },
      },
      { operator: 'Gather', inputs: [`${condition}/numbers`, `${condition}/index`], output: `${condition}/number` },
      { operator: 'Add', inputs: [input, `${condition}/number`], output },
    ],
    constants: [float(`${condition}/numbers`, 0)],
  };
}
