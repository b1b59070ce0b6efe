import { callbackify } from 'node:util';
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl';
import { LipsyncError } from '../../errors/lipsync-error.ts';
import { quoted } from '../../errors/quoted-text.ts';
import type { CheckpointContainer } from './checkpoint-container.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import { invalidCheckpoint, type CheckpointLimits } from './limits.ts';
import { readPickle } from './pickle-reader.ts';
import type { PickleValue } from './pickle-values.ts';
import { storageBytes, type Storage } from './tensors.ts';
import { TorchGlobals } from './torch-globals.ts';

const objectMember = /^([^/]+)\/data\.pkl$/;
const maxByteOrderBytes = 16;
/** Size of the fixed fields of a central directory entry. */
const fixedEntryBytes = 46;

/** Reads a zip checkpoint: the object is `FOLDER/data.pkl`, the storage with key K is `FOLDER/data/K`. */
export async function readZipContainer(file: CheckpointFile, limits: CheckpointLimits): Promise<CheckpointContainer> {
  const members = await ZipArchive.open(file, limits);
  const folder = findFolder(members.names);
  rejectTorchScript(members.names, folder);
  await requireLittleEndian(members, folder);
  const root = await readObject(members, `${folder}/data.pkl`, limits);
  return {
    root,
    async locate(storages) {
      const located = new Map<string, number>();
      for (const storage of storages) located.set(storage.key, await locateStorage(members, folder, storage));
      return located;
    },
  };
}

function findFolder(names: ReadonlySet<string>): string {
  const folders = Array.from(names).flatMap((name) => objectMember.exec(name)?.[1] ?? []);
  const [folder] = folders;
  if (folder === undefined || folders.length > 1)
    throw invalidCheckpoint('one data.pkl in a folder of the archive', `${folders.length} members named data.pkl`);
  return folder;
}

function rejectTorchScript(names: ReadonlySet<string>, folder: string): void {
  const isProgram =
    names.has(`${folder}/constants.pkl`) || Array.from(names).some((name) => name.startsWith(`${folder}/code/`));
  if (isProgram)
    throw invalidCheckpoint(
      'weights written by torch.save',
      'a TorchScript program (save its state_dict() with torch.save)',
    );
}

async function requireLittleEndian(members: ZipArchive, folder: string): Promise<void> {
  const name = `${folder}/byteorder`;
  // PyTorch before 2.1 does not write this member and is little-endian.
  if (!members.names.has(name)) return;
  const order = Buffer.from(await members.read(name, maxByteOrderBytes)).toString('latin1');
  if (order !== 'little') throw invalidCheckpoint('little-endian storages', `the byte order ${quoted(order)}`);
}

async function readObject(members: ZipArchive, name: string, limits: CheckpointLimits): Promise<PickleValue> {
  const bytes = await members.read(name, limits.pickleBytes);
  const pickle = readPickle(bytes, { globals: new TorchGlobals(), limits });
  if (pickle === undefined)
    throw invalidCheckpoint('a complete pickle', `the end of ${quoted(name)} within the pickle`);
  return pickle.value;
}

async function locateStorage(members: ZipArchive, folder: string, storage: Storage): Promise<number> {
  const name = `${folder}/data/${storage.key}`;
  const { position, lengthBytes } = await members.locate(name);
  if (lengthBytes !== storageBytes(storage))
    throw invalidCheckpoint(`${storageBytes(storage)} bytes in ${quoted(name)}`, `${lengthBytes} bytes`);
  return position;
}

/**
 * A zip or zip64 archive whose members are read in place. yauzl streams the central directory and resolves data
 * offsets. Nothing is inflated: `torch.save` stores members uncompressed. CRCs are not verified because tensors are
 * read individually and newer PyTorch versions may omit them.
 */
class ZipArchive {
  readonly names: ReadonlySet<string>;
  readonly #file: CheckpointFile;
  readonly #archive: ZipFile;
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(file: CheckpointFile, archive: ZipFile, entries: ReadonlyMap<string, Entry>) {
    this.#file = file;
    this.#archive = archive;
    this.#entries = entries;
    this.names = new Set(entries.keys());
  }

  /** Throws `model_invalid` for damaged archives, duplicate names and exceeded limits. */
  static async open(file: CheckpointFile, limits: CheckpointLimits): Promise<ZipArchive> {
    const options = { lazyEntries: true, autoClose: false };
    const archive = await rethrowAsInvalid(
      fromRandomAccessReaderPromise(new PositionedReader(file), file.sizeBytes, options),
    );
    return new ZipArchive(file, archive, await rethrowAsInvalid(listEntries(archive, limits)));
  }

  /** Throws `model_invalid` when the member is missing, compressed, encrypted or truncated. */
  async locate(name: string): Promise<{ readonly position: number; readonly lengthBytes: number }> {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw invalidCheckpoint(`the member ${quoted(name)}`, 'no such member in the archive');
    if (entry.compressionMethod !== 0 || entry.isEncrypted())
      throw invalidCheckpoint(`the uncompressed member ${quoted(name)}`, 'a compressed or encrypted one');
    const header = this.#archive.readLocalFileHeaderPromise(entry, { minimal: true });
    const { fileDataStart } = await rethrowAsInvalid(header);
    return { position: fileDataStart, lengthBytes: entry.uncompressedSize };
  }

  /** Throws `model_invalid` like `locate`, and when the member has more than `maxBytes`. */
  async read(name: string, maxBytes: number): Promise<Uint8Array> {
    const { position, lengthBytes } = await this.locate(name);
    if (lengthBytes > maxBytes)
      throw invalidCheckpoint(`at most ${maxBytes} bytes in ${quoted(name)}`, `${lengthBytes} bytes`);
    const bytes = new Uint8Array(lengthBytes);
    await this.#file.read(bytes, position);
    return bytes;
  }
}

async function listEntries(
  archive: ZipFile,
  { zipMembers, zipDirectoryBytes }: CheckpointLimits,
): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>();
  let directoryBytes = 0;
  for await (const entry of archive.eachEntry()) {
    if (entries.has(entry.fileName)) throw invalidCheckpoint('unique member names', `${quoted(entry.fileName)} twice`);
    if (entries.size >= zipMembers) throw invalidCheckpoint(`at most ${zipMembers} members`, 'more');
    directoryBytes += fixedEntryBytes + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
    if (directoryBytes > zipDirectoryBytes)
      throw invalidCheckpoint(`a central directory of at most ${zipDirectoryBytes} bytes`, 'a larger one');
    entries.set(entry.fileName, entry);
  }
  return entries;
}

async function rethrowAsInvalid<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (LipsyncError.isInstance(cause)) throw cause;
    throw invalidCheckpoint('a complete zip archive', 'a damaged one', cause);
  }
}

/** Adapts `CheckpointFile` for yauzl. Its range check is essential: yauzl passes on unchecked 64-bit offsets. */
class PositionedReader extends RandomAccessReader {
  readonly #read;

  constructor(file: CheckpointFile) {
    super();
    this.#read = callbackify((target: Buffer, position: number) => file.read(target, position));
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#read(buffer.subarray(offset, offset + length), position, callback);
  }
}
