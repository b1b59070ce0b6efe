import type { GraphConstant, GraphNode } from '../inference/onnx-writer.ts';
import { onnxElementType } from '../inference/onnx-writer.ts';
import { writeOnnxFile } from '../inference/onnx-writer.ts';
import { melBandCount } from '../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../providers/wav2lip/mel-chunks.ts';
import { framesInputName, melInputName, outputName } from '../providers/wav2lip/model/wav2lip-graph.ts';

/** Models of a few nodes with a Wav2Lip's inputs and output, whose answers are known beforehand. */
export interface InstructiveModel {
  readonly cropSizePx: number;
  /** The one batch size that it accepts; any when left out. */
  readonly fixedBatch?: number;
}

export interface FaultModel extends InstructiveModel {
  /** Runs of more crops fail, as those do for which a device's memory is too small. */
  readonly largestBatch?: number;
  /** Runs fail that hold a chunk whose mean mel is above: −5 is always, 5 never. */
  readonly failAboveMean?: number;
  /** Pictures whose chunk's mean mel is above are NaN everywhere. */
  readonly nanAboveMean?: number;
}

/** Steps of a graph with the constants that they read. */
interface Steps {
  readonly nodes: readonly GraphNode[];
  readonly constants?: readonly GraphConstant[];
}

const never = 5;

/** Writes a model that gives back the crop that it is shown unmasked: channels 3 to 5 of its frames. */
export async function writeIdentityModel(path: string, model: InstructiveModel): Promise<void> {
  await writeModel(path, model, [referenceCrop(outputName)]);
}

/** Writes a model that paints every picture in one gray: the mean of its mel chunk, −4 black and 4 white. */
export async function writeMeterModel(path: string, model: InstructiveModel): Promise<void> {
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

/** Writes the identity model with faults: see `FaultModel` for when it fails and when it answers NaN. */
export async function writeFaultModel(path: string, model: FaultModel): Promise<void> {
  const { largestBatch = 2 ** 31, failAboveMean = never, nanAboveMean = never } = model;
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
  { cropSizePx: side, fixedBatch }: InstructiveModel,
  steps: readonly Steps[],
): Promise<void> {
  const batch = fixedBatch ?? 'batch';
  await writeOnnxFile(path, {
    name: 'instructive',
    inputs: [
      { name: melInputName, dims: [batch, 1, melBandCount, melChunkColumns] },
      { name: framesInputName, dims: [batch, 6, side, side] },
    ],
    outputs: [{ name: outputName, dims: [batch, 3, side, side] }],
    nodes: steps.flatMap(({ nodes }) => nodes),
    constants: steps.flatMap(({ constants = [] }) => constants),
  });
}

function referenceCrop(output: string): Steps {
  return {
    nodes: [{ operator: 'Slice', inputs: [framesInputName, 'from', 'to', 'axis'], output }],
    constants: [integer('from', 3), integer('to', 6), integer('axis', 1)],
  };
}

/** One number per crop, (batch, 1, 1, 1). */
function chunkMeans(output: string): Steps {
  return {
    nodes: [{ operator: 'ReduceMean', inputs: [melInputName], output, attributes: { axes: [1, 2, 3], keepdims: 1 } }],
  };
}

function batchAbove(limit: number, output: string): Steps {
  return {
    nodes: [
      { operator: 'Shape', inputs: [melInputName], output: 'mel_shape' },
      { operator: 'Gather', inputs: ['mel_shape', 'first_axis'], output: 'batch_size' },
      { operator: 'Greater', inputs: ['batch_size', 'batch_limit'], output },
    ],
    constants: [integer('first_axis', 0), integer('batch_limit', limit)],
  };
}

function anyMeanAbove(limit: number, output: string): Steps {
  return {
    nodes: [
      { operator: 'ReduceMax', inputs: ['means'], output: 'loudest', attributes: { keepdims: 0 } },
      { operator: 'Greater', inputs: ['loudest', 'loud_limit'], output },
    ],
    constants: [float('loud_limit', limit)],
  };
}

/** Hands its input on; when the condition holds, looks up the second of one number, which no runtime can do. */
function failingWhen(condition: string, input: string, output: string): Steps {
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
