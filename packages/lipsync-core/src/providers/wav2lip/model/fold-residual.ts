import type { FoldedLayer } from './fold-batch-norm.ts';
import type { Layer } from './network.ts';

/**
 * Puts the input that a layer adds to its sum into its kernel, as one more in the middle tap from each channel to
 * itself. The weight's own array is changed; other layers are handed on as they are.
 */
export function foldResidual({ residual, kernel, inputChannels }: Layer, folded: FoldedLayer): FoldedLayer {
  if (!residual) return folded;
  const { weight } = folded;
  const area = kernel * kernel;
  for (let channel = 0; channel < inputChannels; channel += 1) {
    const middle = (channel * inputChannels + channel) * area + (area - 1) / 2;
    weight[middle] = (weight[middle] ?? 0) + 1;
  }
  return folded;
}
