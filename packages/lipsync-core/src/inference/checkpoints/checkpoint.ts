import { quoted } from '../../errors/quoted-text.ts';
import type { FileHash } from '../../storage/file-hash.ts';
import {
  detectFormat,
  hashCheckpointFile,
  openCheckpointFile,
  type CheckpointFile,
  type CheckpointFormat,
} from './checkpoint-file.ts';
import { readLegacyContainer } from './legacy-container.ts';
import { defaultCheckpointLimits, invalidCheckpoint, type CheckpointLimits } from './limits.ts';
import { describeValue, isKind, type PickleDict, type PickleValue } from './pickle-values.ts';
import { countElements, readTensorValues, type ElementType, type StoredTensor } from './tensors.ts';
import { readZipContainer } from './zip-container.ts';

/** Name, shape and dtype of a tensor in a state dict. */
export interface TensorEntry {
  /** Key of the state dict without any `module.`. */
  readonly name: string;
  /** Empty for a scalar. */
  readonly dims: readonly number[];
  readonly elementType: ElementType;
}

export interface OpenCheckpointOptions {
  /** Aborts opening and every later read. */
  readonly signal: AbortSignal;
  /** Overrides for single limits. */
  readonly limits?: Partial<CheckpointLimits>;
}

/**
 * Opens a PyTorch checkpoint in legacy or zip format and lists the tensors of its `state_dict` entry, or of the root
 * when that is a state dict itself. Nothing in the file is executed, and optimizer state is skipped. The caller closes
 * the checkpoint. Throws `model_missing` when the path cannot be read, `model_invalid` for other content or exceeded
 * limits.
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

/** Same as `openCheckpoint` for an open file; closing the checkpoint closes the file. */
export async function readCheckpoint(file: CheckpointFile, limits: CheckpointLimits): Promise<Checkpoint> {
  const format = await detectFormat(file);
  const container = await (format === 'zip' ? readZipContainer : readLegacyContainer)(file, limits);
  const stored = listStateTensors(container.root, limits);
  const positions = await container.locate(new Set(Array.from(stored.values(), (tensor) => tensor.storage)));
  return new Checkpoint({ file, format, stored, positions });
}

interface CheckpointContent {
  readonly file: CheckpointFile;
  readonly format: CheckpointFormat;
  readonly stored: ReadonlyMap<string, StoredTensor>;
  /** Byte offsets of the storages by key. */
  readonly positions: ReadonlyMap<string, number>;
}

/** The weights in an open PyTorch checkpoint. Tensors are read on demand. */
export class Checkpoint {
  readonly format: CheckpointFormat;
  /** The tensors of the state dict by name, in file order. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly #content: CheckpointContent;

  constructor(content: CheckpointContent) {
    this.#content = content;
    this.format = content.format;
    this.tensors = new Map(
      Array.from(content.stored, ([name, { dims, storage }]) => [
        name,
        { name, dims, elementType: storage.elementType },
      ]),
    );
  }

  /**
   * Reads a tensor as float32 in row-major order; float16 and bfloat16 are widened. Throws `model_invalid` for unknown
   * names, other element types and non-contiguous tensors.
   */
  async read(name: string): Promise<Float32Array> {
    const { file, stored, positions } = this.#content;
    const tensor = stored.get(name);
    const position = tensor && positions.get(tensor.storage.key);
    if (tensor === undefined || position === undefined)
      throw invalidCheckpoint(`a tensor named ${quoted(name)}`, 'no such tensor');
    return readTensorValues(file, tensor, position);
  }

  /** Size and SHA-256 of the open file, the same bytes that `read` uses. Throws the errors of `openCheckpoint`. */
  hash(): Promise<FileHash> {
    return hashCheckpointFile(this.#content.file);
  }

  close(): Promise<void> {
    return this.#content.file.close();
  }
}

/**
 * Returns the tensors of the state dict by name. Every `module.` is removed from names, as the reference implementation
 * does. Throws `model_invalid` for a missing state dict, entries other than tensors, duplicate names and exceeded
 * limits.
 */
function listStateTensors(root: PickleValue, limits: CheckpointLimits): ReadonlyMap<string, StoredTensor> {
  const entries = findStateDict(root).entries;
  if (entries.size > limits.tensors) throw invalidCheckpoint(`at most ${limits.tensors} tensors`, `${entries.size}`);
  const tensors = new Map<string, StoredTensor>();
  let elements = 0;
  for (const [key, value] of entries) {
    const name = tensorName(key);
    if (!isKind(value, 'tensor')) throw invalidCheckpoint(`a tensor as ${quoted(name)}`, describeValue(value));
    if (tensors.has(name)) throw invalidCheckpoint('unique tensor names', `two tensors named ${quoted(name)}`);
    elements += countElements(value.dims);
    tensors.set(name, value);
  }
  if (elements > limits.elements)
    throw invalidCheckpoint(`at most ${limits.elements} elements in all tensors`, `${elements}`);
  return tensors;
}

function findStateDict(root: PickleValue): PickleDict {
  if (!isKind(root, 'dict')) throw invalidCheckpoint('a state dict', describeValue(root));
  const wrapped = root.entries.get('state_dict');
  if (isKind(wrapped, 'dict')) return wrapped;
  if (Array.from(root.entries.values()).some((value) => isKind(value, 'tensor'))) return root;
  throw invalidCheckpoint('a state dict', `a dict with ${listKeys(root)}`);
}

function tensorName(key: string | number | bigint): string {
  if (typeof key !== 'string') throw invalidCheckpoint('tensor names as keys', `the number ${key}`);
  return key.replaceAll('module.', '');
}

function listKeys(dict: PickleDict): string {
  const shown = 8;
  const keys = Array.from(dict.entries.keys())
    .slice(0, shown)
    .map((key) => quoted(String(key)));
  return keys.length === 0 ? 'no entries' : `the entries ${keys.join(', ')}${dict.entries.size > shown ? ', …' : ''}`;
}
