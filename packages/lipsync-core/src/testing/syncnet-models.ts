import {
  audioOutputName,
  convolutionsOf,
  embeddingLength,
  framesInputName,
  frameSidePx,
  lipOutputName,
  mfccInputName,
  syncNetwork,
  syncNetworkGraph,
  type WidthDivisor,
} from '../quality/syncnet/syncnet-network.ts';
import { convolutionShapes, type Convolution } from '../inference/models/convolution.ts';
import type { TensorSource } from '../inference/models/network-kind.ts';
import { writeOnnxFile } from '../inference/onnx-writer.ts';
import type { FileHash } from '../storage/file-hash.ts';
import { seedOf, uniform } from './seeded-values.ts';

export interface SeededSyncNet {
  /** 1 is the released size (55 MB); 16 is a few hundred kilobytes and runs in milliseconds. */
  readonly widthDivisor: WidthDivisor;
  readonly seed: number;
}

/** Writes a SyncNet model with seeded weights through the graph code of the importer. The file is deterministic. */
export async function writeSeededSyncNet(path: string, seeded: SeededSyncNet): Promise<FileHash> {
  return writeOnnxFile(path, await syncNetworkGraph(syncNetwork(seeded.widthDivisor), seededSyncNet(seeded)));
}

/** Seeded weights by checkpoint name. Each tensor depends only on seed and name. */
export function seededSyncNet({
  widthDivisor,
  seed,
}: SeededSyncNet): TensorSource & { readonly shapes: ReadonlyMap<string, readonly number[]> } {
  const tensors = convolutionsOf(syncNetwork(widthDivisor)).flatMap((layer) =>
    convolutionShapes(layer).map(({ name, dims }) => ({ name, dims, layer })),
  );
  return {
    shapes: new Map(tensors.map(({ name, dims }) => [name, dims])),
    async read(name) {
      const tensor = tensors.find((entry) => entry.name === name);
      if (!tensor) throw new RangeError(`The network has no tensor ${name}.`);
      const length = tensor.dims.reduce((product, size) => product * size, 1);
      const { low, high } = valueRange(tensor.layer, name);
      return uniform(length, low, high, seedOf(name, seed));
    },
  };
}

/** Ranges that keep activations in a stable magnitude from layer to layer. The first layers scale their inputs down. */
function valueRange({ weightKey, inputChannels, kernel, input }: Convolution, name: string) {
  if (name.endsWith('running_var')) return { low: 0.7, high: 1.3 };
  if (name.endsWith('bias') || name.endsWith('running_mean')) return { low: -0.1, high: 0.1 };
  if (name !== `${weightKey}.weight`) return { low: 0.8, high: 1.2 };
  const inputScale = { frames: 128, mfcc: 16 }[input] ?? 1;
  const limit = Math.sqrt(6 / (inputChannels * kernel[0] * kernel[1])) / inputScale;
  return { low: -limit, high: limit };
}

/**
 * Writes a model with the ports of SyncNet whose embeddings are known: the first value is the mean level of the window's
 * middle frame, scaled from 0…255 to −`scale`…`scale`, and the mean log energy of the window's middle rows, scaled from
 * `quiet`…`loud` to the same. All other values are zero.
 */
export async function writeLevelSyncNet(
  path: string,
  { quiet, loud, scale = 10 }: { readonly quiet: number; readonly loud: number; readonly scale?: number },
): Promise<FileHash> {
  const lipWeight = new Float32Array(embeddingLength * 15);
  // Planes are blue, green and red of five frames each; the middle frame is the third of each.
  for (const plane of [2, 7, 12]) lipWeight[plane] = (2 * scale) / 255 / 3;
  const audioWeight = new Float32Array(embeddingLength * 13 * 20);
  for (const row of [8, 9, 10, 11]) audioWeight[row] = (2 * scale) / (loud - quiet) / 4;
  const bias = (first: number): Float32Array =>
    Float32Array.from({ length: embeddingLength }, (_, i) => (i ? 0 : first));
  const flatten = { axis: 1 };
  return writeOnnxFile(path, {
    name: 'levels',
    inputs: [
      { name: framesInputName, dims: ['pictures', 15, frameSidePx, frameSidePx] },
      { name: mfccInputName, dims: ['sounds', 1, 13, 20] },
    ],
    outputs: [
      { name: lipOutputName, dims: ['pictures', embeddingLength] },
      { name: audioOutputName, dims: ['sounds', embeddingLength] },
    ],
    constants: [
      { name: 'lip/weight', dims: [embeddingLength, 15, 1, 1], data: lipWeight },
      { name: 'lip/bias', dims: [embeddingLength], data: bias(-scale) },
      { name: 'audio/weight', dims: [embeddingLength, 1, 13, 20], data: audioWeight },
      { name: 'audio/bias', dims: [embeddingLength], data: bias((-scale * (loud + quiet)) / (loud - quiet)) },
    ],
    nodes: [
      { operator: 'GlobalAveragePool', inputs: [framesInputName], output: 'lip/mean' },
      { operator: 'Conv', inputs: ['lip/mean', 'lip/weight', 'lip/bias'], output: 'lip' },
      { operator: 'Flatten', inputs: ['lip'], output: lipOutputName, attributes: flatten },
      { operator: 'Conv', inputs: [mfccInputName, 'audio/weight', 'audio/bias'], output: 'audio' },
      { operator: 'Flatten', inputs: ['audio'], output: audioOutputName, attributes: flatten },
    ],
  });
}
