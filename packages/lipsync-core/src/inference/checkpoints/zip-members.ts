import { callbackify } from 'node:util';
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl';
import { LipsyncError } from '../../errors/lipsync-error.ts';
import { quoted } from '../../errors/quoted-text.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import type { CheckpointLimits } from './checkpoint-limits.ts';

type ZipLimits = Pick<CheckpointLimits, 'zipMembers' | 'zipDirectoryBytes'>;

/** What the directory says of every member, without what varies in length. */
const fixedEntryBytes = 46;

/** The members of a zip archive. They are read where they lie, hence only uncompressed ones can be. */
export interface ZipMembers {
  readonly names: ReadonlySet<string>;
  /** Where a member's bytes lie. Throws `model_invalid` when it is missing, compressed, encrypted or not all in the file. */
  locate(name: string): Promise<{ position: number; lengthBytes: number }>;
}

/**
 * Lists an archive (also zip64) with yauzl, which reads the directory an entry at a time and says where a member's bytes
 * begin. Nothing is ever inflated: `torch.save` stores its members as they are. Checksums are not compared, because
 * single tensors are read, and newer versions of PyTorch need not write them. Throws `model_invalid` when it is damaged,
 * names a member twice or goes over the limits.
 */
export async function listZipMembers(file: CheckpointFile, limits: ZipLimits): Promise<ZipMembers> {
  const archive = await orDamaged(
    fromRandomAccessReaderPromise(new PositionedReader(file), file.sizeBytes, { lazyEntries: true, autoClose: false }),
  );
  const entries = await orDamaged(listEntries(archive, limits));
  return {
    names: new Set(entries.keys()),
    async locate(name) {
      const entry = entries.get(name);
      if (entry === undefined)
        throw invalidCheckpoint(`the member ${quoted(name)}`, 'none of that name in the archive');
      if (entry.compressionMethod !== 0 || entry.isEncrypted())
        throw invalidCheckpoint(`${quoted(name)} stored as torch.save writes it`, 'it compressed or encrypted');
      const { fileDataStart } = await orDamaged(archive.readLocalFileHeaderPromise(entry, { minimal: true }));
      return { position: fileDataStart, lengthBytes: entry.uncompressedSize };
    },
  };
}

async function listEntries(
  archive: ZipFile,
  { zipMembers, zipDirectoryBytes }: ZipLimits,
): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>();
  let directoryBytes = 0;
  for await (const entry of archive.eachEntry()) {
    if (entries.has(entry.fileName)) throw invalidCheckpoint('every member once', `${quoted(entry.fileName)} twice`);
    if (entries.size >= zipMembers) throw invalidCheckpoint(`at most ${zipMembers} members`, 'more');
    directoryBytes += fixedEntryBytes + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
    if (directoryBytes > zipDirectoryBytes)
      throw invalidCheckpoint(`a directory of at most ${zipDirectoryBytes} bytes`, 'a longer one');
    entries.set(entry.fileName, entry);
  }
  return entries;
}

async function orDamaged<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (LipsyncError.isInstance(cause)) throw cause;
    throw invalidCheckpoint('a whole zip archive', 'a damaged one', cause);
  }
}

/** Gives the zip library our reads, which check positions first: it passes on whatever 64-bit number an archive holds. */
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
