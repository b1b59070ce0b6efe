import {
  convolutionsOf,
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
