import { hashCheckpointFile, openCheckpointFile, type CheckpointFile } from './checkpoint-file.ts';
import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import { defaultCheckpointLimits, type CheckpointLimits } from './checkpoint-limits.ts';
import { detectFormat, type CheckpointFormat } from './checkpoint-format.ts';
import type { ElementType } from './element-types.ts';
import { readLegacyContainer } from './legacy-container.ts';
import { listStateTensors } from './state-dict.ts';
import type { StoredTensor } from './stored-tensor.ts';
import { readTensorValues } from './tensor-values.ts';
import { readZipContainer } from './zip-container.ts';

export interface TensorEntry {
  /** Key of the state dict without `module.`, wherever that stood. */
  readonly name: string;
  /** Empty for a single number. */
  readonly dims: readonly number[];
  readonly elementType: ElementType;
}

/** The weights in a PyTorch checkpoint. Only what is asked for is read. */
export interface Checkpoint {
  readonly format: CheckpointFormat;
  /** The tensors of the state dict by name, in its order. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /**
   * The elements of a tensor in the order of its dimensions, as float32 (float16 and bfloat16 widened). Throws
   * `model_invalid` for a name that is not among `tensors`, other element types, tensors that are not contiguous.
   */
  read(name: string): Promise<Float32Array>;
  /** Size and sha256 of the whole file, of the very bytes that tensors are read from. Throws as `openCheckpoint`. */
  hash(): Promise<{ readonly bytes: number; readonly sha256: string }>;
  close(): Promise<void>;
}

export interface OpenCheckpointOptions {
  /** Stops opening and every later read. */
  readonly signal: AbortSignal;
  /** Replaces single limits. */
  readonly limits?: Partial<CheckpointLimits>;
}

/**
 * Opens a PyTorch checkpoint in the legacy or the zip format and lists the tensors of its `state_dict` entry, or of the
 * checkpoint itself when that is a state dict. Nothing in the file is executed: its pickles may construct what weights
 * need and nothing else. Optimizer state is skipped. The caller closes what is returned. Throws `model_missing` when
 * the path cannot be read, `model_invalid` when the content is not such a checkpoint or exceeds the limits.
 */
export async function openCheckpoint(path: string, options: OpenCheckpointOptions): Promise<Checkpoint> {
  const file = await openCheckpointFile(path, options.signal);
  try {
    return await readCheckpoint(file, { ...defaultCheckpointLimits, ...options.limits });
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** As `openCheckpoint`, from an open file, which the returned checkpoint closes. */
export async function readCheckpoint(file: CheckpointFile, limits: CheckpointLimits): Promise<Checkpoint> {
  const format = await detectFormat(file);
  const container = await (format === 'zip' ? readZipContainer : readLegacyContainer)(file, limits);
  const stored = listStateTensors(container.root, limits);
  const positions = await container.locate(new Set(Array.from(stored.values(), (tensor) => tensor.storage)));
  return {
    format,
    tensors: new Map(Array.from(stored, ([name, tensor]) => [name, describe(name, tensor)])),
    async read(name) {
      const tensor = stored.get(name);
      const position = tensor && positions.get(tensor.storage.key);
      if (tensor === undefined || position === undefined)
        throw invalidCheckpoint(`a tensor named ${quoted(name)}`, 'none of that name');
      return readTensorValues(file, tensor, position);
    },
    hash: async () => ({ bytes: file.sizeBytes, sha256: await hashCheckpointFile(file) }),
    close: () => file.close(),
  };
}

function describe(name: string, tensor: StoredTensor): TensorEntry {
  return { name, dims: tensor.dims, elementType: tensor.storage.elementType };
}
