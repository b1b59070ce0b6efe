import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './limits.ts';
import { describeValue, isCount, isKind, newDict, type PickleDict, type PickleValue } from './pickle-values.ts';
import { countElements, type ElementType, type Storage, type StorageView, type StoredTensor } from './tensors.ts';

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
  // Ignored after the strides: requires_grad, backward hooks and, in newer files, metadata.
  ['torch._utils._rebuild_tensor_v2', ([storage, offset, dims, strides]) => makeTensor(storage, offset, dims, strides)],
  ['torch._utils._rebuild_parameter', ([tensor]) => requireTensor(tensor)],
  ['torch.Size', ([sizes]) => ({ kind: 'tuple', items: readCounts('sizes', sizes) })],
  ['collections.OrderedDict', ([items]) => makeDict(items)],
  // The default factory is never called.
  ['collections.defaultdict', () => newDict()],
  ['builtins.dict', () => newDict()],
  ['__builtin__.dict', () => newDict()],
]);

const maxDimensions = 8;

/**
 * The allow-list of globals in a checkpoint's pickles: storages, tensors, sizes and dicts. Creates descriptions only;
 * no element is read. One instance serves one file.
 */
export class TorchGlobals {
  readonly #storages = new Map<string, Storage>();

  /** The storages referenced so far, by key. */
  get storages(): ReadonlyMap<string, Storage> {
    return this.#storages;
  }

  /** Whether a pickle may reference this global (`module.attribute`). */
  isAllowed(global: string): boolean {
    return storageTypes.has(global) || constructors.has(global);
  }

  /** Emulates REDUCE. Throws `model_invalid` for globals that cannot be called and for unexpected arguments. */
  call(global: string, args: readonly PickleValue[]): PickleValue {
    const construct = constructors.get(global);
    if (construct === undefined) throw invalidCheckpoint('a call that weights need', `a call of ${global}`);
    return construct(args);
  }

  /** Emulates BINPERSID: the storage with this persistent id. Throws `model_invalid` for any other id. */
  loadPersistent(persistentId: PickleValue): StorageView {
    return loadStorage(persistentId, this.#storages);
  }
}

/** The id is `('storage', type, key, location, count)`; legacy files append a view `(key, offset, count)` or None. */
function loadStorage(persistentId: PickleValue, storages: Map<string, Storage>): StorageView {
  const [tag, type, key, , elementCount, part] = isKind(persistentId, 'tuple') ? persistentId.items : [];
  const elementType = isKind(type, 'global') ? storageTypes.get(type.name) : undefined;
  if (tag !== 'storage' || elementType === undefined)
    throw invalidCheckpoint(
      'a reference to a storage',
      `a reference to ${describeValue(tag)} of ${describeValue(type)}`,
    );
  if (typeof key !== 'string') throw invalidCheckpoint('the key of a storage', describeValue(key));
  if (!isCount(elementCount)) throw invalidCheckpoint('the size of a storage', describeValue(elementCount));
  const storage = storages.get(key) ?? { key, elementType, elementCount };
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
  const [, firstElement, elementCount] = isKind(part, 'tuple') ? part.items : [];
  if (!isCount(firstElement) || !isCount(elementCount))
    throw invalidCheckpoint('a view of a storage', describeValue(part));
  if (firstElement + elementCount > storage.elementCount) {
    throw invalidCheckpoint(
      `a view within ${storage.elementCount} elements`,
      `${elementCount} elements at offset ${firstElement}`,
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
  if (!isKind(view, 'storage')) throw invalidCheckpoint('the storage of a tensor', describeValue(view));
  if (!isCount(offset)) throw invalidCheckpoint('the offset of a tensor', describeValue(offset));
  const dims = readCounts('sizes', sizes);
  const strides = readCounts('strides', steps);
  if (dims.length !== strides.length) throw invalidCheckpoint(`${dims.length} strides`, `${strides.length}`);
  const needed = offset + spannedElements(dims, strides);
  if (needed > view.elementCount)
    throw invalidCheckpoint(
      `a storage of at least ${needed} elements for a tensor of ${dims.join('×')}`,
      `${view.elementCount} elements`,
    );
  return { kind: 'tensor', storage: view.storage, firstElement: view.firstElement + offset, dims, strides };
}

/** Length of the storage range from the tensor's first element to its last. */
function spannedElements(dims: readonly number[], strides: readonly number[]): number {
  if (countElements(dims) === 0) return 0;
  return dims.reduce((span, size, axis) => span + (size - 1) * (strides[axis] ?? 0), 1);
}

function readCounts(what: string, value: PickleValue | undefined): readonly number[] {
  if (!isKind(value, 'tuple') && !isKind(value, 'list'))
    throw invalidCheckpoint(`the ${what} of a tensor`, describeValue(value));
  if (value.items.length > maxDimensions)
    throw invalidCheckpoint(`at most ${maxDimensions} ${what}`, `${value.items.length}`);
  return value.items.map((item) => {
    if (!isCount(item)) throw invalidCheckpoint(`non-negative ${what}`, describeValue(item));
    return item;
  });
}

function requireTensor(value: PickleValue | undefined): StoredTensor {
  if (!isKind(value, 'tensor')) throw invalidCheckpoint('the tensor of a parameter', describeValue(value));
  return value;
}

/** Python 2 passes the entries as a list of pairs; Python 3 adds them with SETITEMS. */
function makeDict(items: PickleValue | undefined): PickleDict {
  const dict = newDict();
  if (items === undefined) return dict;
  if (!isKind(items, 'list')) throw invalidCheckpoint('the entries of a dict', describeValue(items));
  for (const pair of items.items) {
    const [key, value] = isKind(pair, 'tuple') || isKind(pair, 'list') ? pair.items : [];
    if (typeof key !== 'string' || value === undefined)
      throw invalidCheckpoint('an entry of a dict', describeValue(pair));
    if (dict.entries.has(key)) throw invalidCheckpoint('unique keys', `${quoted(key)} twice`);
    dict.entries.set(key, value);
  }
  return dict;
}
