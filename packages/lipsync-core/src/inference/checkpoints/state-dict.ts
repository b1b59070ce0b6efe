import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import type { CheckpointLimits } from './checkpoint-limits.ts';
import { describeValue, isDict, isTensor, type PickleDict, type PickleValue } from './pickle/pickle-values.ts';
import { countElements, type StoredTensor } from './stored-tensor.ts';

const wrapperKey = 'state_dict';

/**
 * The tensors of the state dict in `root`, which is the state dict itself or holds it as `state_dict`. Names lose
 * `module.` wherever it stands, as in the reference. Throws `model_invalid` when there is no state dict, when it holds
 * anything but tensors, when two names fall together, and when it exceeds the limits.
 */
export function listStateTensors(root: PickleValue, limits: CheckpointLimits): ReadonlyMap<string, StoredTensor> {
  const entries = findStateDict(root).entries;
  if (entries.size > limits.tensors) throw invalidCheckpoint(`at most ${limits.tensors} tensors`, `${entries.size}`);
  const tensors = new Map<string, StoredTensor>();
  let elements = 0;
  for (const [key, value] of entries) {
    const name = tensorName(key);
    if (!isTensor(value)) throw invalidCheckpoint(`a tensor as ${quoted(name)}`, describeValue(value));
    if (tensors.has(name)) throw invalidCheckpoint('every tensor once', `two named ${quoted(name)}`);
    elements += countElements(value.dims);
    tensors.set(name, value);
  }
  if (elements > limits.elements)
    throw invalidCheckpoint(`at most ${limits.elements} elements in all tensors`, `${elements}`);
  return tensors;
}

function findStateDict(root: PickleValue): PickleDict {
  if (!isDict(root)) throw invalidCheckpoint('a state dict', describeValue(root));
  const wrapped = root.entries.get(wrapperKey);
  if (isDict(wrapped)) return wrapped;
  if (Array.from(root.entries.values()).some(isTensor)) return root;
  throw invalidCheckpoint('a state dict', `a dict with ${listKeys(root)}`);
}

function tensorName(key: string | number | bigint): string {
  if (typeof key !== 'string') throw invalidCheckpoint('names of tensors as keys', `the number ${key}`);
  return key.replaceAll('module.', '');
}

function listKeys(dict: PickleDict): string {
  const shown = 8;
  const keys = Array.from(dict.entries.keys())
    .slice(0, shown)
    .map((key) => quoted(String(key)));
  return keys.length === 0 ? 'no entries' : `the entries ${keys.join(', ')}${dict.entries.size > shown ? ', …' : ''}`;
}
