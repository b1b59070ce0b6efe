import { writeOnnxFile } from '../inference/onnx-writer.ts';
import { tensorShapes, type TensorSource } from '../providers/wav2lip/model/layer-weights.ts';
import {
  layersOf,
  wav2lipNetwork,
  type Layer,
  type Wav2LipNetwork,
  type WidthDivisor,
} from '../providers/wav2lip/model/network.ts';
import { wav2lipGraph, type GraphKind } from '../providers/wav2lip/model/wav2lip-graph.ts';
import type { FileHash } from '../storage/file-hash.ts';

export interface SeededWav2Lip {
  /** 1 is the released size (145 MB); 16 is a few hundred kilobytes and runs in milliseconds. */
  readonly widthDivisor: WidthDivisor;
  readonly seed: number;
  readonly float16?: boolean;
  /** Writes plain layers; see `GraphForm`. */
  readonly plain?: boolean;
}

/**
 * Writes a Wav2Lip model with seeded weights through the graph code of the importer. The file is deterministic; the output
 * is noise that depends on speech and face.
 */
export async function writeSeededWav2Lip(
  path: string,
  { widthDivisor, seed, float16 = false, plain = false }: SeededWav2Lip,
): Promise<FileHash> {
  const network = wav2lipNetwork(widthDivisor);
  const kind: GraphKind = float16
    ? { elementType: 'float16', form: 'plain' }
    : { elementType: 'float32', form: plain ? 'plain' : 'rewritten' };
  const graph = await wav2lipGraph(network, seededTensors(network, seed), kind);
  return writeOnnxFile(path, graph);
}

/** Seeded weights of a network by checkpoint name. Each tensor depends only on seed and name. */
export function seededTensors(
  network: Wav2LipNetwork,
  seed: number,
): TensorSource & { readonly shapes: ReadonlyMap<string, readonly number[]> } {
  const layers = layersOf(network).flatMap((layer) =>
    tensorShapes(layer).map(({ name, dims }) => ({ name, dims, layer })),
  );
  const byName = new Map(layers.map((entry) => [entry.name, entry]));
  return {
    shapes: new Map(layers.map(({ name, dims }) => [name, dims])),
    async read(name) {
      const entry = byName.get(name);
      if (!entry) throw new RangeError(`The network has no tensor ${name}.`);
      const { low, high } = valueRange(entry.layer, name.slice(entry.layer.name.length));
      return uniform(
        entry.dims.reduce((product, size) => product * size, 1),
        low,
        high,
        seed ^ fnv1a(name),
      );
    },
  };
}

/** Ranges that keep the magnitude of activations stable across layers. */
function valueRange(layer: Layer, name: string): { readonly low: number; readonly high: number } {
  if (name.endsWith('conv_block.1.weight')) return { low: 0.8, high: 1.2 };
  if (name.endsWith('running_var')) return { low: 0.7, high: 1.3 };
  if (name.endsWith('conv_block.1.bias')) return { low: 0, high: 0.2 };
  if (name.endsWith('bias') || name.endsWith('running_mean')) return { low: -0.1, high: 0.1 };
  const limit = Math.sqrt(3 * weightVariance(layer));
  return { low: -limit, high: limit };
}

/** He initialization; smaller before a residual connection, because sums grow, and before the sigmoid. */
function weightVariance({ kind, inputChannels, kernel, strides, residual }: Layer): number {
  const fanIn = (inputChannels * kernel * kernel) / (kind === 'transposed' ? strides[0] * strides[1] : 1);
  const gain = residual ? 0.2 : 2;
  return (kind === 'plain' ? 0.05 : gain) / fanIn;
}

/** Uniform values of the mulberry32 generator. */
function uniform(length: number, low: number, high: number, seed: number): Float32Array {
  const values = new Float32Array(length);
  const scale = (high - low) / 2 ** 32;
  let state = seed >>> 0;
  for (let index = 0; index < length; index += 1) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    values[index] = low + scale * ((mixed ^ (mixed >>> 14)) >>> 0);
  }
  return values;
}

/** 32-bit FNV-1a hash. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
