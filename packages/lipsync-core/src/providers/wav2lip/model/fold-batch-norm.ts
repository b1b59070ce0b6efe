import type { BatchNorm, LayerTensors } from './layer-tensors.ts';
import type { Layer } from './network.ts';

/** What PyTorch adds to the variance unless told otherwise. */
const epsilon = 1e-5;

export interface FoldedLayer {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * Puts a layer's batch-norm into its convolution: w' = w · γ / √(σ² + ε), b' = (b − μ) · γ / √(σ² + ε) + β, computed in
 * doubles and rounded once. The weight's own array is changed and handed on.
 */
export function foldBatchNorm(layer: Layer, { weight, bias, norm }: LayerTensors): FoldedLayer {
  if (norm === null) return { weight, bias };
  const factors = normFactors(norm);
  const { outputChannels, kind, kernel } = layer;
  const area = kernel * kernel;
  // Output channels come second in a transposed convolution's weight: they come round again for each input.
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

/** γ / √(σ² + ε) of every channel: what batch-norm multiplies by. */
function normFactors({ scale, variance }: BatchNorm): Float64Array {
  return Float64Array.from(scale, (value, channel) => value / Math.sqrt((variance[channel] ?? 0) + epsilon));
}
