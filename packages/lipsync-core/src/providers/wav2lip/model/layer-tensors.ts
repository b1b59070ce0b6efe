import type { Layer } from './network.ts';

/** Where tensors come from: a checkpoint, or a seed. Values are in row-major order and belong to the caller. */
export interface TensorSource {
  read(name: string): Promise<Float32Array>;
}

export interface TensorShape {
  readonly name: string;
  readonly dims: readonly number[];
}

/** What one layer is made of, as the authors' training left it. */
export interface LayerTensors {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  /** Absent from a layer without batch-norm. */
  readonly norm: BatchNorm | null;
}

/** One value per output channel each. */
export interface BatchNorm {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

const convolutionKey = 'conv_block.0';
const normKey = 'conv_block.1';
const normTensors = ['weight', 'bias', 'running_mean', 'running_var'] as const;

/** Names and shapes of the layer's tensors in a checkpoint, without the counter that batch-norm keeps for training. */
export function tensorShapes(layer: Layer): readonly TensorShape[] {
  const prefix = convolutionPrefix(layer);
  const channels = [layer.outputChannels];
  const norm =
    layer.kind === 'plain'
      ? []
      : normTensors.map((name) => ({ name: `${layer.name}.${normKey}.${name}`, dims: channels }));
  return [{ name: `${prefix}.weight`, dims: weightDims(layer) }, { name: `${prefix}.bias`, dims: channels }, ...norm];
}

/** Rows of a transposed convolution's weight are inputs, of any other's outputs. */
export function weightDims({ kind, inputChannels, outputChannels, kernel }: Layer): readonly number[] {
  return kind === 'transposed'
    ? [inputChannels, outputChannels, kernel, kernel]
    : [outputChannels, inputChannels, kernel, kernel];
}

/** Reads the layer's tensors. Throws what the source throws. */
export async function readLayerTensors(layer: Layer, source: TensorSource): Promise<LayerTensors> {
  const prefix = convolutionPrefix(layer);
  const weight = await source.read(`${prefix}.weight`);
  const bias = await source.read(`${prefix}.bias`);
  return { weight, bias, norm: layer.kind === 'plain' ? null : await readNorm(layer, source) };
}

async function readNorm(layer: Layer, source: TensorSource): Promise<BatchNorm> {
  const read = (name: (typeof normTensors)[number]): Promise<Float32Array> =>
    source.read(`${layer.name}.${normKey}.${name}`);
  return {
    scale: await read('weight'),
    shift: await read('bias'),
    mean: await read('running_mean'),
    variance: await read('running_var'),
  };
}

function convolutionPrefix({ kind, name }: Layer): string {
  return kind === 'plain' ? name : `${name}.${convolutionKey}`;
}
