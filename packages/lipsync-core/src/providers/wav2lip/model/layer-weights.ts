import {
  batchNormShapes,
  foldNorm,
  readBatchNorm,
  type BatchNorm,
  type FoldedLayer,
} from '../../../inference/models/batch-norm.ts';
import type { TensorShape, TensorSource } from '../../../inference/models/network-kind.ts';
import type { Layer } from './network.ts';

/** The trained parameters of one layer. */
export interface LayerTensors {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  /** Null for a layer without batch normalization. */
  readonly norm: BatchNorm | null;
}

const convolutionKey = 'conv_block.0';
const normKey = 'conv_block.1';

/** Names and shapes of the layer's tensors in a checkpoint, except `num_batches_tracked`. */
export function tensorShapes(layer: Layer): readonly TensorShape[] {
  const prefix = convolutionPrefix(layer);
  const channels = [layer.outputChannels];
  const norm = layer.kind === 'plain' ? [] : batchNormShapes(`${layer.name}.${normKey}`, layer.outputChannels);
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
  return {
    weight,
    bias,
    norm: layer.kind === 'plain' ? null : await readBatchNorm(`${layer.name}.${normKey}`, source),
  };
}

function convolutionPrefix({ kind, name }: Layer): string {
  return kind === 'plain' ? name : `${name}.${convolutionKey}`;
}

/** Folds batch normalization into the convolution. Modifies and returns the weight array. */
export function foldBatchNorm(layer: Layer, { weight, bias, norm }: LayerTensors): FoldedLayer {
  if (norm === null) return { weight, bias };
  const area = layer.kernel * layer.kernel;
  // In a transposed convolution, output channels are axis 1 and repeat for each input channel.
  const blockLength = layer.kind === 'transposed' ? area : area * layer.inputChannels;
  return foldNorm({ weight, bias }, norm, { blockLength });
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
