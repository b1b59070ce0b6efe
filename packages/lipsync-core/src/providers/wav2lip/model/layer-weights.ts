import type { TensorShape, TensorSource } from '../../../inference/models/network-kind.ts';
import type { Layer } from './network.ts';

/** The trained parameters of one layer. */
export interface LayerTensors {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  /** Null for a layer without batch normalization. */
  readonly norm: BatchNorm | null;
}

/** Batch normalization parameters, one value per output channel: γ, β, μ and σ². */
export interface BatchNorm {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

const convolutionKey = 'conv_block.0';
const normKey = 'conv_block.1';
const normTensors = ['weight', 'bias', 'running_mean', 'running_var'] as const;

/** Names and shapes of the layer's tensors in a checkpoint, except `num_batches_tracked`. */
export function tensorShapes(layer: Layer): readonly TensorShape[] {
  const prefix = convolutionPrefix(layer);
  const channels = [layer.outputChannels];
  const norm =
    layer.kind === 'plain'
      ? []
      : normTensors.map((name) => ({ name: `${layer.name}.${normKey}.${name}`, dims: channels }));
  return [{ name: `${prefix}.weight`, dims: weightDims(layer) }, { name: `${prefix}.bias`, dims: channels }, ...norm];
}

/** Weight shape: (in, out, k, k) for a transposed convolution, otherwise (out, in, k, k). */
export function weightDims({ kind, inputChannels, outputChannels, kernel }: Layer): readonly number[] {
  return kind === 'transposed'
    ? [inputChannels, outputChannels, kernel, kernel]
    : [outputChannels, inputChannels, kernel, kernel];
}

/** Reads the parameters of a layer. Throws the errors of the source. */
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

/** Default epsilon of PyTorch's BatchNorm2d. */
export const batchNormEpsilon = 1e-5;

/** Weight and bias of a convolution that includes the batch normalization. */
export interface FoldedLayer {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * Folds batch normalization into the convolution: w' = w · γ / √(σ² + ε), b' = (b − μ) · γ / √(σ² + ε) + β, computed in
 * float64 and rounded once. Modifies and returns the weight array.
 */
export function foldBatchNorm(layer: Layer, { weight, bias, norm }: LayerTensors): FoldedLayer {
  if (norm === null) return { weight, bias };
  const factors = normFactors(norm);
  const { outputChannels, kind, kernel } = layer;
  const area = kernel * kernel;
  // In a transposed convolution, output channels are axis 1 and repeat for each input channel.
  const block = kind === 'transposed' ? area : area * layer.inputChannels;
  for (let start = 0; start < weight.length; start += block) {
    const factor = factors[(start / block) % outputChannels] ?? 0;
    for (let index = start; index < start + block; index += 1) weight[index] = (weight[index] ?? 0) * factor;
  }
  return {
    weight,
    bias: bias.map(
      (value, channel) => (value - (norm.mean[channel] ?? 0)) * (factors[channel] ?? 0) + (norm.shift[channel] ?? 0),
    ),
  };
}

/** γ / √(σ² + ε) per channel. */
function normFactors({ scale, variance }: BatchNorm): Float64Array {
  return Float64Array.from(scale, (value, channel) => value / Math.sqrt((variance[channel] ?? 0) + batchNormEpsilon));
}

/**
 * Folds the residual connection into the kernel: adds 1 to the center tap from each channel to itself. Modifies the
 * weight array; returns layers without a residual connection unchanged.
 */
export function foldResidual({ residual, kernel, inputChannels }: Layer, folded: FoldedLayer): FoldedLayer {
  if (!residual) return folded;
  const { weight } = folded;
  const area = kernel * kernel;
  for (let channel = 0; channel < inputChannels; channel += 1) {
    const center = (channel * inputChannels + channel) * area + (area - 1) / 2;
    weight[center] = (weight[center] ?? 0) + 1;
  }
  return folded;
}
