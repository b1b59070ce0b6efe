import type { CheckpointContainer } from './checkpoint-container.ts';
import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import type { CheckpointLimits } from './checkpoint-limits.ts';
import { describeValue, isDict, isList, type PickleValue } from './pickle/pickle-values.ts';
import { readPickle, type PickleWorld } from './pickle/read-pickle.ts';
import { storageBytes, type Storage } from './stored-tensor.ts';
import { createTorchWorld } from './torch-world.ts';

const magicNumber = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;
const countBytes = 8;
const firstWindowBytes = 64 * 1024;

/**
 * Reads the five pickles of a legacy checkpoint: magic number, protocol, facts about the writing system, the object, the
 * keys of its storages. The storages follow in the order of the keys, each a 64-bit count and its raw elements.
 */
export async function readLegacyContainer(
  file: CheckpointFile,
  limits: CheckpointLimits,
): Promise<CheckpointContainer> {
  const world = createTorchWorld();
  const pickles = new PickleSequence(file, limits);
  requireValue('the magic number of a PyTorch checkpoint', await pickles.next(world), magicNumber);
  requireValue(`protocol ${protocolVersion}`, await pickles.next(world), protocolVersion);
  requireLittleEndian(await pickles.next(world));
  const root = await pickles.next(world);
  const keys = storageKeys(await pickles.next(world));
  return {
    root,
    async locate(storages) {
      const positions = layOut(file, keys, world.storages, pickles.position);
      const located = new Map<string, number>();
      for (const storage of storages) located.set(storage.key, await locateStorage(file, storage, positions));
      return located;
    },
  };
}

/** Pickles that follow one another in a file, each as long as it turns out to be. */
class PickleSequence {
  position = 0;
  readonly #file: CheckpointFile;
  readonly #limits: CheckpointLimits;

  constructor(file: CheckpointFile, limits: CheckpointLimits) {
    this.#file = file;
    this.#limits = limits;
  }

  /** Reads ahead in growing windows and starts over where one ends too early: the length is known only at the end. */
  async next(world: PickleWorld): Promise<PickleValue> {
    const available = this.#file.sizeBytes - this.position;
    for (let windowBytes = firstWindowBytes; ; windowBytes *= 4) {
      const window = new Uint8Array(Math.min(windowBytes, available, this.#limits.pickleBytes));
      await this.#file.read(window, this.position);
      const pickle = readPickle(window, world, this.#limits);
      if (pickle !== undefined) {
        this.position += pickle.lengthBytes;
        return pickle.value;
      }
      if (window.length === available)
        throw invalidCheckpoint('a whole pickle', `the end of the file within the one at byte ${this.position}`);
      if (window.length === this.#limits.pickleBytes)
        throw invalidCheckpoint(
          `pickles of at most ${this.#limits.pickleBytes} bytes`,
          `a longer one at byte ${this.position}`,
        );
    }
  }
}

function requireValue(expected: string, found: PickleValue, value: number | bigint): void {
  if (found !== value) throw invalidCheckpoint(expected, describeValue(found));
}

function requireLittleEndian(system: PickleValue): void {
  if (!isDict(system)) throw invalidCheckpoint('facts about the writing system', describeValue(system));
  const littleEndian = system.entries.get('little_endian') ?? null;
  if (littleEndian !== true)
    throw invalidCheckpoint('little-endian storages', `little_endian as ${describeValue(littleEndian)}`);
}

function storageKeys(value: PickleValue): readonly string[] {
  if (!isList(value)) throw invalidCheckpoint('a list of storage keys', describeValue(value));
  return value.items.map((key) => {
    if (typeof key !== 'string') throw invalidCheckpoint('storage keys as text', describeValue(key));
    return key;
  });
}

/** Where each storage's count lies. The sizes are those that the object names; nothing is read. */
function layOut(
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
      throw invalidCheckpoint('storages that the object uses', `one with the key ${quoted(key)} that it does not`);
    if (positions.has(key)) throw invalidCheckpoint('every storage once', `the key ${quoted(key)} twice`);
    positions.set(key, position);
    position += countBytes + storageBytes(storage);
  }
  if (position > file.sizeBytes)
    throw invalidCheckpoint(
      `at least ${position} bytes for its storages`,
      `a file of ${file.sizeBytes} bytes, cut short`,
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
    throw invalidCheckpoint(`a storage with the key ${quoted(storage.key)}`, 'none in the list of storages');
  const count = Buffer.alloc(countBytes);
  await file.read(count, position);
  const found = count.readBigInt64LE(0);
  if (found !== BigInt(storage.elementCount))
    throw invalidCheckpoint(`${storage.elementCount} elements in the storage at byte ${position}`, `${found}`);
  return position + countBytes;
}
