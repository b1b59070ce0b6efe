import { writeOnnxFile, type FileFacts } from '../inference/onnx-writer.ts';
import { tensorShapes, type TensorSource } from '../providers/wav2lip/model/layer-tensors.ts';
import {
  layersOf,
  wav2lipNetwork,
  type Layer,
  type Wav2LipNetwork,
  type WidthDivisor,
} from '../providers/wav2lip/model/network.ts';
import { wav2lipGraph, type GraphKind } from '../providers/wav2lip/model/wav2lip-graph.ts';

export interface SeededWav2Lip {
  /** 1 is the released network's size, 145 MB; 16 has a few hundred kilobytes and answers in milliseconds. */
  readonly widthDivisor: WidthDivisor;
  readonly seed: number;
  readonly float16?: boolean;
  /** Layers as they are defined; see `GraphForm`. */
  readonly plain?: boolean;
}

/**
 * Writes a Wav2Lip model whose weights come from a seed, by the code that imports checkpoints: the same file for the
 * same seed everywhere. Its pictures are noise that depends on sound and face.
 */
export async function writeSeededWav2Lip(
  path: string,
  { widthDivisor, seed, float16 = false, plain = false }: SeededWav2Lip,
): Promise<FileFacts> {
  const network = wav2lipNetwork(widthDivisor);
  const kind: GraphKind = float16
    ? { elementType: 'float16', form: 'plain' }
    : { elementType: 'float32', form: plain ? 'plain' : 'rewritten' };
  const graph = await wav2lipGraph(network, seededTensors(network, seed), kind);
  return writeOnnxFile(path, graph);
}

/** Weights of a network by their names in a checkpoint. Each depends on seed and name only. */
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
      if (!entry) throw new RangeError(`The network has no tensor called ${name}.`);
      const { low, high } = valueRange(entry.layer, name.slice(entry.layer.name.length));
      return uniform(
        entry.dims.reduce((product, size) => product * size, 1),
        low,
        high,
        seed ^ hashOf(name),
      );
    },
  };
}

/** Ranges under which activations neither die nor grow from layer to layer. */
function valueRange(layer: Layer, name: string): { readonly low: number; readonly high: number } {
  if (name.endsWith('conv_block.1.weight')) return { low: 0.8, high: 1.2 };
  if (name.endsWith('running_var')) return { low: 0.7, high: 1.3 };
  if (name.endsWith('conv_block.1.bias')) return { low: 0, high: 0.2 };
  if (name.endsWith('bias') || name.endsWith('running_mean')) return { low: -0.1, high: 0.1 };
  const limit = Math.sqrt(3 * weightVariance(layer));
  return { low: -limit, high: limit };
}

/** He's rule for layers before a ReLU; less where the input is added, because sums grow, and where a sigmoid follows. */
function weightVariance({ kind, inputChannels, kernel, strides, residual }: Layer): number {
  const fanIn = (inputChannels * kernel * kernel) / (kind === 'transposed' ? strides[0] * strides[1] : 1);
  const gain = residual ? 0.2 : 2;
  return (kind === 'plain' ? 0.05 : gain) / fanIn;
}

/** The mulberry32 generator, spread evenly over the range. */
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

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
