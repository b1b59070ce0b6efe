import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../mel-chunks.ts';
import { officialCropSizePx } from '../model/model-facts.ts';
import type { Layer, Wav2LipNetwork } from '../model/network.ts';
import { outputSize } from '../model/reference-layer.ts';

/** Multiplications per face by layer name, as the layers are defined. */
export function multiplicationsOf(network: Wav2LipNetwork): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const follow = (layers: readonly Layer[], input: readonly [number, number]): readonly [number, number] =>
    layers.reduce((size, layer) => {
      const output = outputSize(layer, [size[0], size[1]]);
      // Each input value of a transposed convolution meets each weight, as does each output value of any other.
      const [rows, columns] = layer.kind === 'transposed' ? size : output;
      counts.set(layer.name, rows * columns * layer.inputChannels * layer.outputChannels * layer.kernel ** 2);
      return output;
    }, input);
  follow(network.faceEncoder.flat(), [officialCropSizePx, officialCropSizePx]);
  const audio = follow(network.audioEncoder, [melBandCount, melChunkColumns]);
  follow(network.outputBlock, follow(network.faceDecoder.flat(), audio));
  return counts;
}
