import type { TensorShape, TensorSource } from './network-kind.ts';

/** Default epsilon of PyTorch's batch normalization. */
export const batchNormEpsilon = 1e-5;

/** Batch normalization parameters, one value per output channel: γ, β, μ and σ². */
export interface BatchNorm {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

const normTensors = ['weight', 'bias', 'running_mean', 'running_var'] as const;

/** Names and shapes of the tensors below a prefix, except `num_batches_tracked`. */
export function batchNormShapes(prefix: string, channels: number): readonly TensorShape[] {
  return normTensors.map((name) => ({ name: `${prefix}.${name}`, dims: [channels] }));
}

/** Reads the parameters below a prefix. Throws the errors of the source. */
export async function readBatchNorm(prefix: string, source: TensorSource): Promise<BatchNorm> {
  const read = (name: (typeof normTensors)[number]): Promise<Float32Array> => source.read(`${prefix}.${name}`);
  return {
    scale: await read('weight'),
    shift: await read('bias'),
    mean: await read('running_mean'),
    variance: await read('running_var'),
  };
}

/** Weight and bias of a convolution that includes the batch normalization. */
export interface FoldedLayer {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * Folds batch normalization into a convolution: w' = w · γ / √(σ² + ε), b' = (b − μ) · γ / √(σ² + ε) + β, computed in
 * float64 and rounded once. `blockLength` is the number of consecutive weights of one output channel; channels repeat
 * after the last one. Modifies and returns the weight array.
 */
export function foldNorm(
  { weight, bias }: FoldedLayer,
  norm: BatchNorm,
  { blockLength, epsilon = batchNormEpsilon }: { readonly blockLength: number; readonly epsilon?: number },
): FoldedLayer {
  const factors = Float64Array.from(
    norm.scale,
    (value, channel) => value / Math.sqrt((norm.variance[channel] ?? 0) + epsilon),
  );
  for (let start = 0; start < weight.length; start += blockLength) {
    const factor = factors[(start / blockLength) % factors.length] ?? 0;
    for (let index = start; index < start + blockLength; index += 1) weight[index] = (weight[index] ?? 0) * factor;
  }
  return {
    weight,
    bias: bias.map(
      (value, channel) => (value - (norm.mean[channel] ?? 0)) * (factors[channel] ?? 0) + (norm.shift[channel] ?? 0),
    ),
  };
}

/** A value with the sum of the magnitudes of all terms, to which rounding errors are proportional. */
export interface ReferenceValue {
  readonly value: number;
  readonly magnitude: number;
}

/** Reference implementation of batch normalization for one value, in float64. */
export function normalizeValue(
  { value, magnitude }: ReferenceValue,
  norm: BatchNorm,
  { channel, epsilon = batchNormEpsilon }: { readonly channel: number; readonly epsilon?: number },
): ReferenceValue {
  const [scale = 0, shift = 0, mean = 0, variance = 0] = [
    norm.scale[channel],
    norm.shift[channel],
    norm.mean[channel],
    norm.variance[channel],
  ];
  const deviation = Math.sqrt(variance + epsilon);
  return {
    value: ((value - mean) / deviation) * scale + shift,
    magnitude: ((magnitude + Math.abs(mean)) / deviation) * Math.abs(scale) + Math.abs(shift),
  };
}
