import { closeSync, fstatSync, fsync, openSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { hiddenReasons, landmarkCount, type FaceFrame, type FacePresence, type FaceTrack } from './face-types.ts';
import { mouthVisibility, type VisibilityFacts } from './mouth-visibility.ts';

/*
 * File format of a track: one record per frame (presence in the first 4 bytes, then the points as float32), a JSON
 * description, and a trailer of 16 bytes: magic number, length of the description, CRC-32 of everything before the
 * trailer, zero.
 */
const magic = 0x4c465431;
const pointValues = landmarkCount * 3;
const recordBytes = 4 + pointValues * 4;
const trailerBytes = 16;
const framesPerBlock = 32;
const blocksInMemory = 4;
const longestDescriptionBytes = 16 * 1024 * 1024;

/** The index of a presence is its value in the file. */
const presences: readonly FacePresence[] = ['absent', 'found', 'interpolated'];
const noPoints = new Float32Array(0);

const range = z.object({ start: z.int().nonnegative(), end: z.int().positive() });
const place = z.object({ x: z.number(), y: z.number(), height: z.number() });
const descriptionSchema = z.object({
  frameCount: z.int().positive(),
  shotStarts: z.array(z.int().nonnegative()),
  absentRanges: z.array(range),
  hiddenRanges: z.array(range.extend({ reason: z.enum(hiddenReasons) })),
  faceChoices: z.array(range.extend({ chosen: place, others: z.array(place.extend({ isStill: z.boolean() })) })),
  fadeFrames: z.int().nonnegative(),
});

/** What is stored of a track beside its frames. */
export type TrackDescription = VisibilityFacts & Pick<FaceTrack, 'faceChoices'>;

/** Writes a track to a new file. Written frames can be read. The caller calls `close`. */
export class TrackWriter {
  readonly #descriptor: number;
  #checksum = 0;
  #frameCount = 0;

  constructor(path: string) {
    this.#descriptor = openSync(path, 'wx+');
  }

  /** Number of frames written. */
  get frameCount(): number {
    return this.#frameCount;
  }

  /** Appends the next frame. The points of an absent face are ignored. */
  add(presence: FacePresence, points: Float32Array): void {
    const record = new Uint8Array(recordBytes);
    record[0] = presences.indexOf(presence);
    if (presence !== 'absent') new Float32Array(record.buffer, 4).set(points);
    this.#append(record);
    this.#frameCount += 1;
  }

  /** Reads a written frame. */
  read(index: number): FaceFrame {
    const record = new Uint8Array(recordBytes);
    readSync(this.#descriptor, record, 0, recordBytes, index * recordBytes);
    return decodeRecord(record, 0);
  }

  /** Completes and syncs the file. */
  async finish(description: TrackDescription): Promise<void> {
    const text = Buffer.from(JSON.stringify(description), 'utf8');
    this.#append(text);
    const trailer = Buffer.alloc(trailerBytes);
    trailer.writeUInt32LE(magic, 0);
    trailer.writeUInt32LE(text.length, 4);
    trailer.writeUInt32LE(this.#checksum, 8);
    writeAll(this.#descriptor, trailer);
    // Frames may be rendered at the same time, so the thread must not wait for the disk.
    await promisify(fsync)(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #append(bytes: Uint8Array): void {
    this.#checksum = crc32(bytes, this.#checksum);
    writeAll(this.#descriptor, bytes);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
}

/** Result of opening a track file. The inode identifies a damaged file, because another process may replace it. */
export type TrackOpening =
  | { readonly state: 'intact'; readonly track: FaceTrack }
  | { readonly state: 'damaged'; readonly inode: number }
  | { readonly state: 'missing' };

/**
 * Opens a track file and verifies its checksum. `cached` is passed on to the track. Reads a few blocks of frames at a
 * time, so memory does not depend on the length. The caller closes the track. Throws the errors of the file system.
 */
export function openTrackFile(path: string, cached: boolean): TrackOpening {
  const descriptor = openIfExists(path);
  if (descriptor === undefined) return { state: 'missing' };
  let track: FaceTrack | undefined;
  try {
    track = readTrack(descriptor, cached);
    return track ? { state: 'intact', track } : { state: 'damaged', inode: fstatSync(descriptor).ino };
  } finally {
    if (!track) closeSync(descriptor);
  }
}

function readTrack(descriptor: number, cached: boolean): FaceTrack | undefined {
  const description = readDescription(descriptor);
  if (!description) return undefined;
  const readBlock = createBlockReader(descriptor, description.frameCount);
  const visibility = mouthVisibility(description);
  return {
    ...description,
    cached,
    frame: (index) => {
      if (!Number.isInteger(index) || index < 0 || index >= description.frameCount) {
        throw new RangeError(`Frame ${index} is outside the track of ${description.frameCount} frames.`);
      }
      return decodeRecord(readBlock(Math.floor(index / framesPerBlock)), index % framesPerBlock);
    },
    visibility: (index) => (visibility[index] ?? 0) / 255,
    close: () => closeSync(descriptor),
  };
}

function openIfExists(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Returns undefined unless magic number, checksum, description and file length agree. */
function readDescription(descriptor: number): TrackDescription | undefined {
  const { size } = fstatSync(descriptor);
  if (size < trailerBytes) return undefined;
  const trailer = Buffer.alloc(trailerBytes);
  readSync(descriptor, trailer, 0, trailerBytes, size - trailerBytes);
  const length = trailer.readUInt32LE(4);
  const end = size - trailerBytes;
  if (trailer.readUInt32LE(0) !== magic || length > Math.min(end, longestDescriptionBytes)) return undefined;
  if (checksumOf(descriptor, end) !== trailer.readUInt32LE(8)) return undefined;
  const text = Buffer.alloc(length);
  readSync(descriptor, text, 0, length, end - length);
  const { data } = descriptionSchema.safeParse(parseJson(text));
  return data && data.frameCount * recordBytes === end - length ? data : undefined;
}

function parseJson(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** CRC-32 of the first `end` bytes, or −1 when the file is shorter. */
function checksumOf(descriptor: number, end: number): number {
  const chunk = new Uint8Array(1024 * 1024);
  let checksum = 0;
  for (let offset = 0; offset < end;) {
    const read = readSync(descriptor, chunk, 0, Math.min(chunk.length, end - offset), offset);
    if (read === 0) return -1;
    checksum = crc32(chunk.subarray(0, read), checksum);
    offset += read;
  }
  return checksum;
}

/** Reads blocks of frames through a cache of `blocksInMemory` blocks. */
function createBlockReader(descriptor: number, frameCount: number): (block: number) => Uint8Array {
  const blocks = new Map<number, Uint8Array>();
  return (block) => {
    const known = blocks.get(block);
    if (known) return known;
    const frames = Math.min(framesPerBlock, frameCount - block * framesPerBlock);
    const bytes = new Uint8Array(frames * recordBytes);
    readSync(descriptor, bytes, 0, bytes.length, block * framesPerBlock * recordBytes);
    const [oldest] = blocks.keys();
    if (blocks.size >= blocksInMemory && oldest !== undefined) blocks.delete(oldest);
    blocks.set(block, bytes);
    return bytes;
  };
}

function decodeRecord(block: Uint8Array, position: number): FaceFrame {
  const start = position * recordBytes;
  const presence = presences[block[start] ?? 0] ?? 'absent';
  if (presence === 'absent') return { presence, points: noPoints };
  return { presence, points: new Float32Array(block.slice(start + 4, start + recordBytes).buffer) };
}
