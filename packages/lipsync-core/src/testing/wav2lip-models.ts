import { melBandCount } from '../audio/mel-spectrogram.ts';
import { onnxElementType, writeOnnxFile, type GraphConstant, type GraphNode } from '../inference/onnx-writer.ts';
import { melChunkColumns } from '../providers/wav2lip/mel-chunks.ts';
import type { TensorSource } from '../inference/models/network-kind.ts';
import type { GraphKind } from '../inference/models/network-kind.ts';
import { tensorShapes } from '../providers/wav2lip/model/layer-weights.ts';
import {
  layersOf,
  wav2lipNetwork,
  type Layer,
  type Wav2LipNetwork,
  type WidthDivisor,
} from '../providers/wav2lip/model/network.ts';
import { framesInputName, melInputName, outputName, wav2lipGraph } from '../providers/wav2lip/model/wav2lip-graph.ts';
import { seedOf, uniform } from './seeded-values.ts';
import type { FileHash } from '../storage/file-hash.ts';

export interface SeededWav2Lip {
  /** 1 is the released size (145 MB); 16 is a few hundred kilobytes and runs in milliseconds. */
  readonly widthDivisor: WidthDivisor;
  readonly seed: number;
  readonly float16?: boolean;
  /** Writes plain layers; see `GraphForm`. */
  readonly plain?: boolean;
}

/**
 * Writes a Wav2Lip model with seeded weights through the graph code of the importer. The file is deterministic; the
 * output is noise that depends on speech and face.
 */
export async function writeSeededWav2Lip(
  path: string,
  { widthDivisor, seed, float16 = false, plain = false }: SeededWav2Lip,
): Promise<FileHash> {
  const network = wav2lipNetwork(widthDivisor);
  const kind: GraphKind = float16
    ? { elementType: 'float16', form: 'plain' }
    : { elementType: 'float32', form: plain ? 'plain' : 'rewritten' };
  const graph = await wav2lipGraph(network, seededTensors(network, seed), kind);
  return writeOnnxFile(path, graph);
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

/** Nodes and the constants that they use. */
interface GraphSteps {
  readonly nodes: readonly GraphNode[];
  readonly constants?: readonly GraphConstant[];
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

/** Where and how far the mouth model opens a mouth, in shares of the crop. */
const mouth = { line: 0.75, widths: [0.3, 0.7], steps: [0.03, 0.06, 0.09, 0.12] } as const;
/** Mean mel levels between which the mouth opens. */
const opening = { fromLevel: -2.5, toLevel: 0.5 } as const;

/**
 * Writes a model that opens the mouth of the reference crop with the loudness of the mel chunk: it moves what is below
 * the lips down and fills the gap with black, in steps.
 */
export async function writeMouthModel(path: string, model: TestModelOptions): Promise<void> {
  const side = model.cropSizePx;
  const { fromLevel, toLevel } = opening;
  const steps = mouth.steps.map((gap, step): GraphSteps => {
    const [before, opened, loud] = [`open_${step}`, `shifted_${step}`, `loud_${step}`];
    const limit = fromLevel + ((toLevel - fromLevel) * (step + 0.5)) / mouth.steps.length;
    return {
      nodes: [
        { operator: 'Gather', inputs: ['crop', `rows_${step}`], output: `moved_${step}`, attributes: { axis: 2 } },
        { operator: 'Mul', inputs: [`moved_${step}`, `lips_${step}`], output: opened },
        { operator: 'Greater', inputs: ['means', `limit_${step}`], output: loud },
        { operator: 'Where', inputs: [loud, opened, before], output: `open_${step + 1}` },
      ],
      constants: [...openMouth(side, Math.round(gap * side), step), float(`limit_${step}`, limit)],
    };
  });
  const last = `open_${mouth.steps.length}`;
  await writeModel(path, model, [
    referenceCrop('crop'),
    chunkMeans('means'),
    { nodes: [{ operator: 'Identity', inputs: ['crop'], output: 'open_0' }] },
    ...steps,
    { nodes: [{ operator: 'Identity', inputs: [last], output: outputName }] },
  ]);
}

/** The source row of each row, and the brightness of each pixel: 0 between the lips. */
function openMouth(side: number, gap: number, step: number): readonly GraphConstant[] {
  const line = Math.round(mouth.line * side);
  const [left, right] = mouth.widths.map((share) => share * side);
  const rows = BigInt64Array.from({ length: side }, (_, row) => BigInt(row < line ? row : Math.max(line, row - gap)));
  const brightness = Float32Array.from({ length: side * side }, (_, pixel) => {
    const [row, column] = [Math.floor(pixel / side), pixel % side];
    const isInside = row >= line && row < line + gap && column >= (left ?? 0) && column < (right ?? 0);
    return isInside ? 0.05 : 1;
  });
  return [
    { name: `rows_${step}`, dims: [side], data: rows },
    { name: `lips_${step}`, dims: [1, 1, side, side], data: brightness },
  ];
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

function referenceCrop(output: string): GraphSteps {
  return {
    nodes: [{ operator: 'Slice', inputs: [framesInputName, 'from', 'to', 'axis'], output }],
    constants: [integer('from', 3), integer('to', 6), integer('axis', 1)],
  };
}

/** Mean of each mel chunk, (batch, 1, 1, 1). */
function chunkMeans(output: string): GraphSteps {
  return {
    nodes: [{ operator: 'ReduceMean', inputs: [melInputName], output, attributes: { axes: [1, 2, 3], keepdims: 1 } }],
  };
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

function float(name: string, value: number): GraphConstant {
  return { name, dims: [1], data: Float32Array.of(value) };
}

function integer(name: string, value: number): GraphConstant {
  return { name, dims: [1], data: BigInt64Array.of(BigInt(value)) };
}
