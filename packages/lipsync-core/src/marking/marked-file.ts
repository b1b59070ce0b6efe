import { createHash, type Hash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import { withAigcTag, type AigcLabel } from './aigc-tag.ts';
import { shiftFilePositions, type ShiftPosition } from './chunk-offsets.ts';
import { boxOf, isManifestBox, manifestUserType, readTopLevelBoxes, type Mp4Box } from './mp4-boxes.ts';
import { isXmpBox } from './xmp-packet.ts';

/** Boxes with positions in the file. They are read as a whole; of an hour of video they take a few megabytes. */
const indexBoxes: ReadonlySet<string> = new Set(['moov', 'moof', 'mfra']);
const maxIndexBytes = 256 * 1024 ** 2;

/** Boxes that the hash of the file leaves out; the library lists the same in each manifest. */
const unhashedBoxes: ReadonlySet<string> = new Set(['ftyp', 'mfra', 'free', 'skip']);

const chunkBytes = 1024 ** 2;

export interface MarkedFileOptions {
  readonly sourcePath: string;
  readonly targetPath: string;
  readonly signal: AbortSignal;
  /** Returns the store with the hash of the file in it, as long as `storeBytes`. */
  seal(fileHash: Buffer): Promise<Buffer>;
  readonly storeBytes: number;
  /** Written behind the manifest, instead of an XMP packet of the source; null keeps that one. */
  readonly xmpBox: Buffer | null;
  /** Written into the index; null for none. */
  readonly aigcLabel: AigcLabel | null;
}

/**
 * Copies an MP4 file with a manifest store behind its `ftyp` box, instead of an earlier one. Memory is
 * constant in the length of the file. Throws `media_failed` for a file that is not a complete MP4.
 */
export async function writeMarkedFile(options: MarkedFileOptions): Promise<void> {
  const source = await open(options.sourcePath, 'r');
  try {
    const target = await open(options.targetPath, 'w');
    try {
      await writeMarked(source, target, options);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function writeMarked(
  source: FileHandle,
  target: FileHandle,
  { aigcLabel, seal, storeBytes, signal, xmpBox }: MarkedFileOptions,
): Promise<void> {
  const boxes: Mp4Box[] = [];
  const removed: Mp4Box[] = [];
  for await (const box of readTopLevelBoxes(source)) {
    const isReplaced = (await isManifestBox(source, box)) || (xmpBox !== null && (await isXmpBox(source, box)));
    (isReplaced ? removed : boxes).push(box);
  }
  const [first] = boxes;
  if (first?.type !== 'ftyp') throw new LipsyncError('media_failed', 'The video does not begin with an ftyp box.');
  const manifestBytes = manifestHeaderBytes + storeBytes;
  const insertedBytes = manifestBytes + (xmpBox?.length ?? 0);
  const index = aigcLabel ? await labelIndex(source, boxes, aigcLabel) : undefined;
  const hash = createHash('sha256');
  let position = 0;
  const write = async (bytes: Buffer): Promise<void> => {
    signal.throwIfAborted();
    await writeWhole(target, bytes, position);
    position += bytes.length;
  };
  // Earlier manifests may lie behind a part of the media: only what is removed before a position moves it.
  const changes = [
    { start: first.sizeBytes - 1, bytes: insertedBytes },
    ...removed.map(({ start, sizeBytes }) => ({ start, bytes: -sizeBytes })),
    ...(index ? [{ start: index.box.start, bytes: index.content.length - index.box.sizeBytes }] : []),
  ];
  const shift: ShiftPosition = (earlier) =>
    changes.reduce((shifted, { start, bytes }) => (start < earlier ? shifted + bytes : shifted), earlier);
  for (const box of boxes) {
    const isHashed = !unhashedBoxes.has(box.type);
    if (isHashed) hash.update(positionOf(position));
    const content = box === index?.box ? { content: index.content } : {};
    await copyBox(source, box, { write, shift, ...content, ...(isHashed && { hash }) });
    if (box !== first) continue;
    await write(Buffer.alloc(manifestBytes));
    if (!xmpBox) continue;
    hash.update(positionOf(position)).update(xmpBox);
    await write(xmpBox);
  }
  const store = await seal(hash.digest());
  await writeWhole(target, manifestBoxOf(store), first.sizeBytes);
}

/** A disk that is almost full takes a part of a write, and refuses the rest. */
async function writeWhole(target: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** The `moov` box with the label. Throws `media_failed` without one, and for one that is damaged or too large. */
async function labelIndex(
  source: FileHandle,
  boxes: readonly Mp4Box[],
  label: AigcLabel,
): Promise<{ readonly box: Mp4Box; readonly content: Buffer }> {
  const box = boxes.find(({ type }) => type === 'moov');
  if (!box) throw new LipsyncError('media_failed', 'The video has no index.');
  return { box, content: withAigcTag(await readIndex(source, box), label) };
}

/** Reads a box with positions as a whole. */
async function readIndex(source: FileHandle, { sizeBytes, start }: Mp4Box): Promise<Buffer> {
  if (sizeBytes > maxIndexBytes)
    throw new LipsyncError('media_failed', 'The index of the video is too large to be marked.');
  const { buffer, bytesRead } = await source.read(Buffer.allocUnsafe(sizeBytes), 0, sizeBytes, start);
  if (bytesRead < sizeBytes) throw becameShorter();
  return buffer;
}

/** `content` replaces that of the source. */
async function copyBox(
  source: FileHandle,
  box: Mp4Box,
  {
    content,
    hash,
    shift,
    write,
  }: {
    readonly content?: Buffer;
    readonly hash?: Hash;
    readonly shift: ShiftPosition;
    write(bytes: Buffer): Promise<void>;
  },
): Promise<void> {
  if (indexBoxes.has(box.type)) {
    const index = content ?? (await readIndex(source, box));
    shiftFilePositions(index, shift);
    hash?.update(index);
    return write(index);
  }
  const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, box.sizeBytes));
  for (let done = 0; done < box.sizeBytes;) {
    const length = Math.min(buffer.length, box.sizeBytes - done);
    const { bytesRead } = await source.read(buffer, 0, length, box.start + done);
    if (bytesRead === 0) throw becameShorter();
    const part = buffer.subarray(0, bytesRead);
    hash?.update(part);
    await write(part);
    done += bytesRead;
  }
}

function becameShorter(): LipsyncError {
  return new LipsyncError('media_failed', 'The video became shorter while it was marked.');
}

/** The hash of the file includes the position of each top-level box, so that none can be moved. */
function positionOf(position: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(position));
  return bytes;
}

/** Version and flags, the purpose, and the position of further boxes, which is 0 where there are none. */
const manifestPurpose = Buffer.concat([Buffer.alloc(4), Buffer.from('manifest\0', 'latin1'), Buffer.alloc(8)]);
const manifestHeaderBytes = 8 + manifestUserType.length + manifestPurpose.length;

function manifestBoxOf(store: Buffer): Buffer {
  return boxOf('uuid', manifestUserType, manifestPurpose, store);
}
