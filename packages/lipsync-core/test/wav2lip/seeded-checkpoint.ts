import { seededTensors } from '../../src/testing/wav2lip-models.ts';
import { wav2lipNetwork, type WidthDivisor } from '../../src/providers/wav2lip/model/network.ts';
import { legacyFile, tensor, zipFile, type SampleStorage } from '../inference/checkpoints/checkpoint-writer.ts';
import { dict, int64, integer, none, orderedDict, text } from '../inference/checkpoints/pickle-writer.ts';

export interface StateTensor {
  readonly dims: readonly number[];
  readonly values: Float32Array;
}

/** Tensors by name, in file order. */
export type State = Map<string, StateTensor>;

export interface CheckpointOptions {
  readonly format: 'legacy' | 'zip';
  readonly prefix?: string;
}

/** Seeded weights of a Wav2Lip generator. */
export async function seededState(widthDivisor: WidthDivisor, seed: number): Promise<State> {
  const source = seededTensors(wav2lipNetwork(widthDivisor), seed);
  const state: State = new Map();
  for (const [name, dims] of source.shapes) state.set(name, { dims, values: await source.read(name) });
  return state;
}

/** A checkpoint with the structure of released ones: tensors, batch counters and optimizer state. */
export function checkpointBytes(state: State, { format, prefix = '' }: CheckpointOptions): Buffer {
  const part = format === 'legacy' ? { part: none } : {};
  const storages: SampleStorage[] = [];
  const entries = [...state].flatMap(([name, { dims, values }]) => {
    const storage = addStorage(
      storages,
      'FloatStorage',
      Buffer.from(values.buffer, values.byteOffset, values.byteLength),
    );
    const entry: [Buffer, Buffer] = [text(`${prefix}${name}`), tensor(storage, dims, part)];
    if (!name.endsWith('.running_var')) return [entry];
    const counter: [Buffer, Buffer] = [
      text(`${prefix}${name.replace('running_var', 'num_batches_tracked')}`),
      tensor(addStorage(storages, 'LongStorage', int64(396_000)), [], part),
    ];
    return [entry, counter];
  });
  const moment = tensor(addStorage(storages, 'FloatStorage', Buffer.alloc(400)), [100], part);
  const optimizer = dict([text('state'), dict([integer(1), dict([text('exp_avg'), moment])])]);
  const root = dict(
    [text('state_dict'), orderedDict(...entries)],
    [text('optimizer'), optimizer],
    [text('global_step'), integer(396_000)],
  );
  return (format === 'legacy' ? legacyFile : zipFile)(root, storages);
}

function addStorage(storages: SampleStorage[], type: 'FloatStorage' | 'LongStorage', bytes: Buffer): SampleStorage {
  const storage: SampleStorage = { key: String(storages.length), type, bytes };
  storages.push(storage);
  return storage;
}
