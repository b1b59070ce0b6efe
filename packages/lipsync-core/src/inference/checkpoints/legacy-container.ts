import { quoted } from '../../errors/quoted-text.ts';
import type { CheckpointContainer } from './checkpoint-container.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import { invalidCheckpoint, type CheckpointLimits } from './limits.ts';
import { readPickle } from './pickle-reader.ts';
import { describeValue, isKind, type PickleValue } from './pickle-values.ts';
import { storageBytes, type Storage } from './tensors.ts';
import { TorchGlobals } from './torch-globals.ts';

const magicNumber = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;
const countBytes = 8;
const firstWindowBytes = 64 * 1024;

/**
 * Reads a legacy checkpoint: five pickles (magic number, protocol, system info, object, storage keys), followed by the
 * storages in the order of their keys, each a 64-bit element count and the raw elements.
 */
export async function readLegacyContainer(
  file: CheckpointFile,
  limits: CheckpointLimits,
): Promise<CheckpointContainer> {
  const globals = new TorchGlobals();
  const pickles = new PickleSequence(file, limits);
  requireValue('the magic number of a PyTorch checkpoint', await pickles.next(globals), magicNumber);
  requireValue(`protocol ${protocolVersion}`, await pickles.next(globals), protocolVersion);
  requireLittleEndian(await pickles.next(globals));
  const root = await pickles.next(globals);
  const keys = storageKeys(await pickles.next(globals));
  return {
    root,
    async locate(storages) {
      const positions = listCountPositions(file, keys, globals.storages, pickles.position);
      const located = new Map<string, number>();
      for (const storage of storages) located.set(storage.key, await locateStorage(file, storage, positions));
      return located;
    },
  };
}

/** Consecutive pickles in a file. */
class PickleSequence {
  position = 0;
  readonly #file: CheckpointFile;
  readonly #limits: CheckpointLimits;

  constructor(file: CheckpointFile, limits: CheckpointLimits) {
    this.#file = file;
    this.#limits = limits;
  }

  /** Reads a window and retries with a larger one when the pickle does not end in it: pickles carry no length. */
  async next(globals: TorchGlobals): Promise<PickleValue> {
    const available = this.#file.sizeBytes - this.position;
    for (let windowBytes = firstWindowBytes; ; windowBytes *= 4) {
      const window = new Uint8Array(Math.min(windowBytes, available, this.#limits.pickleBytes));
      await this.#file.read(window, this.position);
      const pickle = readPickle(window, { globals, limits: this.#limits });
      if (pickle !== undefined) {
        this.position += pickle.lengthBytes;
        return pickle.value;
      }
      if (window.length === available)
        throw invalidCheckpoint('a complete pickle', `the end of the file within the pickle at byte ${this.position}`);
      if (window.length === this.#limits.pickleBytes)
        throw invalidCheckpoint(
          `pickles of at most ${this.#limits.pickleBytes} bytes`,
          `a longer pickle at byte ${this.position}`,
        );
    }
  }
}

function requireValue(expected: string, found: PickleValue, value: number | bigint): void {
  if (found !== value) throw invalidCheckpoint(expected, describeValue(found));
}

function requireLittleEndian(system: PickleValue): void {
  if (!isKind(system, 'dict')) throw invalidCheckpoint('system info of the writer', describeValue(system));
  const littleEndian = system.entries.get('little_endian') ?? null;
  if (littleEndian !== true)
    throw invalidCheckpoint('little-endian storages', `little_endian as ${describeValue(littleEndian)}`);
}

function storageKeys(value: PickleValue): readonly string[] {
  if (!isKind(value, 'list')) throw invalidCheckpoint('a list of storage keys', describeValue(value));
  return value.items.map((key) => {
    if (typeof key !== 'string') throw invalidCheckpoint('strings as storage keys', describeValue(key));
    return key;
  });
}

/** Byte offsets of the element counts by storage key, computed from the sizes in the object; reads nothing. */
function listCountPositions(
  file: CheckpointFile,
  keys: readonly string[],
  storages: ReadonlyMap<string, Storage>,
  start: number,
): ReadonlyMap<string, number> {
  const positions = new Map<string, number>();
  let position = start;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined)
      throw invalidCheckpoint('only storages that the object references', `the unreferenced key ${quoted(key)}`);
    if (positions.has(key)) throw invalidCheckpoint('unique storage keys', `the key ${quoted(key)} twice`);
    positions.set(key, position);
    position += countBytes + storageBytes(storage);
  }
  if (position > file.sizeBytes)
    throw invalidCheckpoint(
      `at least ${position} bytes for its storages`,
      `a truncated file of ${file.sizeBytes} bytes`,
    );
  return positions;
}

async function locateStorage(
  file: CheckpointFile,
  storage: Storage,
  positions: ReadonlyMap<string, number>,
): Promise<number> {
  const position = positions.get(storage.key);
  if (position === undefined)
    throw invalidCheckpoint(`a storage with the key ${quoted(storage.key)}`, 'no such key in the list of storages');
  const count = Buffer.alloc(countBytes);
  await file.read(count, position);
  const found = count.readBigInt64LE(0);
  if (found !== BigInt(storage.elementCount))
    throw invalidCheckpoint(`${storage.elementCount} elements in the storage at byte ${position}`, `${found} elements`);
  return position + countBytes;
}
