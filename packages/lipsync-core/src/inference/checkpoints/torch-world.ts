import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import type { ElementType } from './element-types.ts';
import {
  describeValue,
  isCount,
  isGlobal,
  isList,
  isStorageView,
  isTensor,
  isTuple,
  newDict,
  type PickleDict,
  type PickleValue,
} from './pickle/pickle-values.ts';
import type { PickleWorld } from './pickle/read-pickle.ts';
import { countElements, type Storage, type StorageView, type StoredTensor } from './stored-tensor.ts';

export interface TorchWorld extends PickleWorld {
  /** The storages that were named so far, by key. */
  readonly storages: ReadonlyMap<string, Storage>;
}

type Constructor = (args: readonly PickleValue[]) => PickleValue;

const storageTypes: ReadonlyMap<string, ElementType> = new Map([
  ['torch.DoubleStorage', 'float64'],
  ['torch.FloatStorage', 'float32'],
  ['torch.HalfStorage', 'float16'],
  ['torch.BFloat16Storage', 'bfloat16'],
  ['torch.LongStorage', 'int64'],
  ['torch.IntStorage', 'int32'],
  ['torch.ShortStorage', 'int16'],
  ['torch.CharStorage', 'int8'],
  ['torch.ByteStorage', 'uint8'],
  ['torch.BoolStorage', 'bool'],
]);

const constructors: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ['torch._utils._rebuild_tensor', ([storage, offset, dims, strides]) => makeTensor(storage, offset, dims, strides)],
  // What follows the strides: whether gradients are wanted, hooks, and in newer files metadata.
  ['torch._utils._rebuild_tensor_v2', ([storage, offset, dims, strides]) => makeTensor(storage, offset, dims, strides)],
  ['torch._utils._rebuild_parameter', ([tensor]) => requireTensor(tensor)],
  ['torch.Size', ([sizes]) => ({ kind: 'tuple', items: readCounts('sizes', sizes) })],
  ['collections.OrderedDict', ([items]) => makeDict(items)],
  // The factory for missing keys is never called.
  ['collections.defaultdict', () => newDict()],
  ['builtins.dict', () => newDict()],
  ['__builtin__.dict', () => newDict()],
]);

const mostDimensions = 8;

/**
 * What the pickles of a checkpoint may name: storages, tensors made from them, sizes and dicts. Makes descriptions only;
 * no element is read. One world serves one file.
 */
export function createTorchWorld(): TorchWorld {
  const storages = new Map<string, Storage>();
  return {
    storages,
    knows: (global) => storageTypes.has(global) || constructors.has(global),
    construct(global, args) {
      const make = constructors.get(global);
      if (make === undefined) throw invalidCheckpoint('a call that weights need', `a call of ${global}`);
      return make(args);
    },
    load: (persistentId) => loadStorage(persistentId, storages),
  };
}

/** `('storage', type, key, location, count)`, in legacy files with `(key, offset, count)` of a part, or None, at the end. */
function loadStorage(persistentId: PickleValue, storages: Map<string, Storage>): StorageView {
  const [tag, type, key, , elementCount, part] = isTuple(persistentId) ? persistentId.items : [];
  const elementType = isGlobal(type) ? storageTypes.get(type.name) : undefined;
  if (tag !== 'storage' || elementType === undefined)
    throw invalidCheckpoint('a reference to a storage', `one to ${describeValue(tag)} of ${describeValue(type)}`);
  if (typeof key !== 'string') throw invalidCheckpoint('the key of a storage', describeValue(key));
  if (!isCount(elementCount)) throw invalidCheckpoint('the size of a storage', describeValue(elementCount));
  const known = storages.get(key);
  const storage = known ?? { key, elementType, elementCount };
  if (storage.elementType !== elementType || storage.elementCount !== elementCount) {
    throw invalidCheckpoint(
      `${storage.elementCount} × ${storage.elementType} under the key ${quoted(key)}`,
      `${elementCount} × ${elementType}`,
    );
  }
  storages.set(key, storage);
  return viewStorage(storage, part);
}

function viewStorage(storage: Storage, part: PickleValue | undefined): StorageView {
  if (part === undefined || part === null)
    return { kind: 'storage', storage, firstElement: 0, elementCount: storage.elementCount };
  const [, firstElement, elementCount] = isTuple(part) ? part.items : [];
  if (!isCount(firstElement) || !isCount(elementCount))
    throw invalidCheckpoint('a part of a storage', describeValue(part));
  if (firstElement + elementCount > storage.elementCount) {
    throw invalidCheckpoint(
      `a part within ${storage.elementCount} elements`,
      `${elementCount} elements from ${firstElement} on`,
    );
  }
  return { kind: 'storage', storage, firstElement, elementCount };
}

function makeTensor(
  view: PickleValue | undefined,
  offset: PickleValue | undefined,
  sizes: PickleValue | undefined,
  steps: PickleValue | undefined,
): StoredTensor {
  if (!isStorageView(view)) throw invalidCheckpoint('the storage of a tensor', describeValue(view));
  if (!isCount(offset)) throw invalidCheckpoint('the offset of a tensor', describeValue(offset));
  const dims = readCounts('sizes', sizes);
  const strides = readCounts('strides', steps);
  if (dims.length !== strides.length) throw invalidCheckpoint(`${dims.length} strides`, `${strides.length}`);
  const needed = offset + reachedElements(dims, strides);
  if (needed > view.elementCount)
    throw invalidCheckpoint(
      `a storage of at least ${needed} elements for a tensor of ${dims.join('×')}`,
      `one of ${view.elementCount}`,
    );
  return { kind: 'tensor', storage: view.storage, firstElement: view.firstElement + offset, dims, strides };
}

/** Elements of the storage from the first one that the tensor uses to the last. */
function reachedElements(dims: readonly number[], strides: readonly number[]): number {
  if (countElements(dims) === 0) return 0;
  return dims.reduce((reached, size, axis) => reached + (size - 1) * (strides[axis] ?? 0), 1);
}

function readCounts(what: string, value: PickleValue | undefined): readonly number[] {
  if (!isTuple(value) && !isList(value)) throw invalidCheckpoint(`the ${what} of a tensor`, describeValue(value));
  if (value.items.length > mostDimensions)
    throw invalidCheckpoint(`at most ${mostDimensions} ${what}`, `${value.items.length}`);
  return value.items.map((item) => {
    if (!isCount(item)) throw invalidCheckpoint(`${what} from zero on`, describeValue(item));
    return item;
  });
}

function requireTensor(value: PickleValue | undefined): StoredTensor {
  if (!isTensor(value)) throw invalidCheckpoint('the tensor of a parameter', describeValue(value));
  return value;
}

/** Python 2 wrote an ordered dict as a list of pairs, Python 3 adds the entries afterwards. */
function makeDict(items: PickleValue | undefined): PickleDict {
  const dict = newDict();
  if (items === undefined) return dict;
  if (!isList(items)) throw invalidCheckpoint('the entries of a dict', describeValue(items));
  for (const pair of items.items) {
    const [key, value] = isTuple(pair) || isList(pair) ? pair.items : [];
    if (typeof key !== 'string' || value === undefined)
      throw invalidCheckpoint('an entry of a dict', describeValue(pair));
    if (dict.entries.has(key)) throw invalidCheckpoint('every key once', `${quoted(key)} again`);
    dict.entries.set(key, value);
  }
  return dict;
}
