import { batchNormEpsilon } from '../../inference/models/batch-norm.ts';
import {
  convolutionGraph,
  convolutionShapes,
  type Convolution,
  type ConvolutionGraph,
} from '../../inference/models/convolution.ts';
import type { TensorShape, TensorSource } from '../../inference/models/network-kind.ts';
import type { OnnxGraph } from '../../inference/onnx-writer.ts';

/** The evaluation SyncNet (source: SyncNetModel.py of the authors' repository). */

/** Consecutive frames in one window. */
export const windowFrames = 5;
/** Side of the square frames. */
export const frameSidePx = 224;
/** MFCC rows in one window: 0.2 s, as long as five frames at 25 fps. */
export const windowMfccRows = 20;
export const embeddingLength = 1024;

export const framesInputName = 'frames';
export const mfccInputName = 'mfcc';
export const lipOutputName = 'lip_embedding';
export const audioOutputName = 'audio_embedding';

const one = [1, 1] as const;
const none = [0, 0] as const;

interface Pool {
  readonly window: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly padding: readonly [number, number];
}

/** A convolution, followed by a pool. */
interface Step {
  readonly index: number;
  readonly channels: number;
  readonly kernel: readonly [number, number];
  readonly strides?: readonly [number, number];
  readonly padding?: readonly [number, number];
  readonly pool?: Pool;
}

/** `index` is that of the convolution in its PyTorch module; batch normalization follows it, then ReLU. */
const lipSteps: readonly Step[] = [
  {
    index: 0,
    channels: 96,
    kernel: [7, 7],
    strides: [2, 2],
    pool: { window: [3, 3], strides: [2, 2], padding: [0, 0] },
  },
  {
    index: 4,
    channels: 256,
    kernel: [5, 5],
    strides: [2, 2],
    padding: [1, 1],
    pool: { window: [3, 3], strides: [2, 2], padding: [1, 1] },
  },
  { index: 8, channels: 256, kernel: [3, 3], padding: [1, 1] },
  { index: 11, channels: 256, kernel: [3, 3], padding: [1, 1] },
  {
    index: 14,
    channels: 256,
    kernel: [3, 3],
    padding: [1, 1],
    pool: { window: [3, 3], strides: [2, 2], padding: [0, 0] },
  },
  { index: 18, channels: 512, kernel: [6, 6] },
];

const audioSteps: readonly Step[] = [
  { index: 0, channels: 64, kernel: [3, 3], padding: [1, 1] },
  {
    index: 4,
    channels: 192,
    kernel: [3, 3],
    padding: [1, 1],
    pool: { window: [3, 3], strides: [1, 2], padding: [0, 0] },
  },
  { index: 8, channels: 384, kernel: [3, 3], padding: [1, 1] },
  { index: 11, channels: 256, kernel: [3, 3], padding: [1, 1] },
  {
    index: 14,
    channels: 256,
    kernel: [3, 3],
    padding: [1, 1],
    pool: { window: [3, 3], strides: [2, 2], padding: [0, 0] },
  },
  { index: 18, channels: 512, kernel: [5, 4] },
];

/** Divisors of the inner channel counts. 1 is the released network; the others are small variants for tests. */
export const widthDivisors = [1, 16] as const;
export type WidthDivisor = (typeof widthDivisors)[number];

interface BranchStep {
  readonly convolution: Convolution;
  readonly pool: Pool | null;
}

interface Branch {
  readonly steps: readonly BranchStep[];
  readonly outputName: string;
}

/** A network of two branches, whose windows are independent. */
export interface SyncNetwork {
  readonly lip: Branch;
  readonly audio: Branch;
}

/** The released network, or a variant with divided inner channel counts. */
export function syncNetwork(widthDivisor: WidthDivisor = 1): SyncNetwork {
  const lip = { trunk: 'netcnnlip', head: 'netfclip', input: framesInputName, inputChannels: 3 * windowFrames };
  const audio = { trunk: 'netcnnaud', head: 'netfcaud', input: mfccInputName, inputChannels: 1 };
  return {
    lip: { steps: branchSteps(lip, lipSteps, widthDivisor), outputName: lipOutputName },
    audio: { steps: branchSteps(audio, audioSteps, widthDivisor), outputName: audioOutputName },
  };
}

interface BranchKeys {
  readonly trunk: string;
  readonly head: string;
  readonly input: string;
  readonly inputChannels: number;
}

function branchSteps({ trunk, head, input, inputChannels }: BranchKeys, steps: readonly Step[], divisor: number) {
  const built: BranchStep[] = [];
  let last = { name: input, channels: inputChannels };
  for (const { index, channels, kernel, strides = one, padding = none, pool = null } of steps) {
    const name = `${trunk}.${index}`;
    const outputChannels = channels / divisor;
    // The frames of a window are channels here: the temporal kernel of the first layer covers all of them.
    const leading = trunk === 'netcnnaud' ? [last.channels] : index === 0 ? [3, windowFrames] : [last.channels, 1];
    built.push({
      convolution: {
        name,
        input: last.name,
        inputChannels: last.channels,
        outputChannels,
        kernel,
        strides,
        padding,
        relu: true,
        weightDims: [outputChannels, ...leading, ...kernel],
        weightKey: name,
        hasBias: true,
        normKey: `${trunk}.${index + 1}`,
        epsilon: batchNormEpsilon,
      },
      pool,
    });
    last = { name: pool === null ? name : poolName(name), channels: outputChannels };
  }
  const hidden = last.channels;
  return [
    ...built,
    linear(`${head}.0`, last, { outputChannels: hidden, normKey: `${head}.1` }),
    linear(`${head}.3`, { name: `${head}.0`, channels: hidden }, { outputChannels: embeddingLength, normKey: null }),
  ];
}

/** A linear layer as a convolution of a single pixel; the hidden one has batch normalization and ReLU. */
function linear(
  name: string,
  input: { readonly name: string; readonly channels: number },
  { outputChannels, normKey }: { readonly outputChannels: number; readonly normKey: string | null },
): BranchStep {
  return {
    convolution: {
      name,
      input: input.name,
      inputChannels: input.channels,
      outputChannels,
      kernel: [1, 1],
      strides: [1, 1],
      padding: [0, 0],
      relu: normKey !== null,
      weightDims: [outputChannels, input.channels],
      weightKey: name,
      hasBias: true,
      normKey,
      epsilon: batchNormEpsilon,
    },
    pool: null,
  };
}

/** All convolutions in evaluation order. */
export function convolutionsOf({ lip, audio }: SyncNetwork): readonly Convolution[] {
  return [...lip.steps, ...audio.steps].map(({ convolution }) => convolution);
}

/** Names and shapes of the tensors in a checkpoint. */
export function syncNetworkShapes(network: SyncNetwork): readonly TensorShape[] {
  return convolutionsOf(network).flatMap(convolutionShapes);
}

/**
 * Builds the network as an ONNX graph: `frames` (pictures, 15, 224, 224) and `mfcc` (sounds, 1, 13, 20) to embeddings
 * (pictures, 1024) and (sounds, 1024), both of any number. Throws the errors of the source.
 */
export async function syncNetworkGraph(network: SyncNetwork, source: TensorSource): Promise<OnnxGraph> {
  const parts = [await branchGraph(network.lip, source), await branchGraph(network.audio, source)];
  return {
    name: 'syncnet',
    inputs: [
      { name: framesInputName, dims: ['pictures', 3 * windowFrames, frameSidePx, frameSidePx] },
      { name: mfccInputName, dims: ['sounds', 1, 13, windowMfccRows] },
    ],
    outputs: [
      { name: lipOutputName, dims: ['pictures', embeddingLength] },
      { name: audioOutputName, dims: ['sounds', embeddingLength] },
    ],
    nodes: parts.flatMap(({ nodes }) => nodes),
    constants: parts.flatMap(({ constants }) => constants),
  };
}

async function branchGraph({ steps, outputName }: Branch, source: TensorSource): Promise<ConvolutionGraph> {
  const parts: ConvolutionGraph[] = [];
  for (const { convolution, pool } of steps) {
    parts.push(await convolutionGraph(convolution, source));
    if (pool !== null) parts.push(poolGraph(convolution.name, pool));
  }
  const last = steps.at(-1)?.convolution.name ?? '';
  const flatten = { operator: 'Flatten', inputs: [last], output: outputName, attributes: { axis: 1 } };
  return {
    nodes: [...parts.flatMap(({ nodes }) => nodes), flatten],
    constants: parts.flatMap(({ constants }) => constants),
  };
}

function poolGraph(input: string, { window, strides, padding }: Pool): ConvolutionGraph {
  const attributes = { kernel_shape: window, strides, pads: [...padding, ...padding] };
  return {
    nodes: [{ operator: 'MaxPool', inputs: [input], output: poolName(input), attributes }],
    constants: [],
  };
}

function poolName(name: string): string {
  return `${name}/pool`;
}
