import type { FileHandle } from 'node:fs/promises';
import { abortError } from '../../errors/index.ts';
import { readAt, withFile } from './file-bytes.ts';
import { ebmlNumberLength } from './matroska-blocks.ts';
import { readOggLayout } from './ogg-links.ts';

/** Parts of a file that are looked at; long recordings in fragments have two per second. */
const maxParts = 50_000;
/** Blocks of a recording without sizes: half an hour of picture and sound. */
const maxElements = 150_000;
const searchedBytes = 65_536;

/** Finds out whether a file ends within a part whose size its container states. */
type Check = (file: FileHandle, sizeBytes: number, signal: AbortSignal | undefined) => Promise<boolean>;

const checks: readonly (readonly [RegExp, Check])[] = [
  [/\bmp4\b/, endsWithinBox],
  [/^avi$|webp/, endsWithinRiff],
  [/\bmatroska\b/, endsWithinSegment],
  [/^mpegts$/, endsWithinPacket],
  [/^mpeg$/, endsWithinProgramPacket],
  [/^flv$/, endsWithinTag],
  [/^asf$/, endsWithinAsfObject],
  [/^gif$/, lacksGifTrailer],
  [/^png_pipe$/, endsWithinPng],
];

/** Whether a file is truncated, as far as the structure of its container shows. Throws the abort error. */
export async function isTruncatedFile(path: string, formatName: string, signal?: AbortSignal): Promise<boolean> {
  if (formatName === 'ogg') return (await readOggLayout(path, signal)).isTruncated;
  const [, check] = checks.find(([pattern]) => pattern.test(formatName)) ?? [];
  return check ? withFile(path, async (file) => check(file, (await file.stat()).size, signal)) : false;
}

async function endsWithinBox(file: FileHandle, sizeBytes: number, signal?: AbortSignal): Promise<boolean> {
  let position = 0;
  for (let count = 0; count < maxParts && position < sizeBytes; count += 1) {
    if (signal?.aborted) throw abortError(signal);
    const header = await readAt(file, { start: position, length: 16 });
    if (header.length < 8) return isBoxType(header);
    const stated = header.readUInt32BE(0);
    const isLong = stated === 1 && header.length === 16;
    // Other data behind the last box do not make a file incomplete; size 0 reaches to the end.
    if (!isBoxType(header.subarray(4, 8)) || stated === 0) return false;
    const boxBytes = isLong ? Number(header.readBigUInt64BE(8)) : stated;
    if (boxBytes < 8) return false;
    position += boxBytes;
  }
  return position > sizeBytes;
}

function isBoxType(bytes: Buffer): boolean {
  return bytes.length > 0 && bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
}

/** An AVI of more than about a gigabyte consists of several parts. */
async function endsWithinRiff(file: FileHandle, sizeBytes: number, signal?: AbortSignal): Promise<boolean> {
  let position = 0;
  for (let count = 0; count < maxParts && position < sizeBytes; count += 1) {
    if (signal?.aborted) throw abortError(signal);
    const header = await readAt(file, { start: position, length: 12 });
    if (header.length < 12 || header.toString('latin1', 0, 4) !== 'RIFF') return false;
    const stated = header.readUInt32LE(4);
    if (stated >= 0xffff_ff00) return false;
    const end = position + 8 + stated;
    if (end > sizeBytes) return true;
    position = end + (stated % 2);
  }
  return false;
}

const clusterId = Buffer.from([0x1f, 0x43, 0xb6, 0x75]);

/**
 * The segment follows the EBML header and contains everything else. Recorders leave its size and those of clusters
 * open.
 */
async function endsWithinSegment(file: FileHandle, sizeBytes: number, signal?: AbortSignal): Promise<boolean> {
  const head = await readAt(file, { start: 0, length: 12 });
  const ebml = readElementSize(head, 4);
  const start = ebml ? ebml.end + ebml.size : sizeBytes;
  if (start >= sizeBytes) return false;
  const header = await readAt(file, { start, length: 12 });
  const segment = readElementSize(header, 4);
  if (segment) return start + segment.end + segment.size > sizeBytes;
  return endsWithinElement(file, { start: start + 4 + ebmlNumberLength(header[4]), sizeBytes }, signal);
}

/** Follows the elements of a segment without a size; enters clusters without one. */
async function endsWithinElement(
  file: FileHandle,
  { start, sizeBytes }: { readonly start: number; readonly sizeBytes: number },
  signal: AbortSignal | undefined,
): Promise<boolean> {
  let position = start;
  for (let count = 0; count < maxElements && position < sizeBytes; count += 1) {
    if (signal?.aborted) throw abortError(signal);
    const header = await readAt(file, { start: position, length: 12 });
    const idLength = ebmlNumberLength(header[0]);
    const element = readElementSize(header, idLength);
    const isOpen = !element && header.subarray(0, 4).equals(clusterId);
    if (!element && !isOpen) return position + header.length >= sizeBytes;
    position += element ? element.end + element.size : idLength + ebmlNumberLength(header[idLength]);
  }
  return position > sizeBytes;
}

/** The size of an EBML element behind its identifier; undefined if it is unknown, as in a live recording. */
function readElementSize(bytes: Buffer, position: number): { readonly size: number; readonly end: number } | undefined {
  const first = bytes[position];
  if (first === undefined || first === 0) return undefined;
  const length = ebmlNumberLength(first);
  if (position + length > bytes.length) return undefined;
  const digits = [first & (0xff >> length), ...bytes.subarray(position + 1, position + length)];
  const isUnknown = digits[0] === 0xff >> length && digits.slice(1).every((digit) => digit === 0xff);
  if (isUnknown) return undefined;
  return { size: digits.reduce((size, digit) => size * 256 + digit, 0), end: position + length };
}

/** Packets are 188 bytes long, with 4 bytes before them on discs or 16 behind them with error correction. */
async function endsWithinPacket(file: FileHandle, sizeBytes: number): Promise<boolean> {
  const head = await readAt(file, { start: 0, length: 4 + 204 * 2 });
  const packetBytes = [
    { length: 188, first: 0 },
    { length: 192, first: 4 },
    { length: 204, first: 0 },
  ].find(({ length, first }) => [0, 1].every((index) => head[first + index * length] === 0x47))?.length;
  return packetBytes !== undefined && sizeBytes % packetBytes !== 0;
}

const packStart = Buffer.from([0, 0, 1, 0xba]);
const lowestPacketCode = 0xbb;

/** A program stream consists of packs of packets that state their size. Follows the packets of the last pack. */
async function endsWithinProgramPacket(file: FileHandle, sizeBytes: number): Promise<boolean> {
  const bytes = await readAt(file, { start: Math.max(0, sizeBytes - searchedBytes), length: searchedBytes });
  let position = bytes.lastIndexOf(packStart);
  if (position < 0 || position + 14 > bytes.length) return position >= 0;
  const isSecondVersion = bytes.readUInt8(position + 4) >> 6 === 1;
  position += isSecondVersion ? 14 + (bytes.readUInt8(position + 13) & 7) : 12;
  while (position + 6 <= bytes.length) {
    if (bytes.readUIntBE(position, 3) !== 1 || bytes.readUInt8(position + 3) < lowestPacketCode) return false;
    position += 6 + bytes.readUInt16BE(position + 4);
  }
  return position > bytes.length;
}

/** Each tag is followed by its own size. */
async function endsWithinTag(file: FileHandle, sizeBytes: number): Promise<boolean> {
  const end = await readAt(file, { start: Math.max(0, sizeBytes - 4), length: 4 });
  if (end.length < 4) return true;
  const tagBytes = end.readUInt32BE(0);
  if (tagBytes < 11 || tagBytes > sizeBytes - 4) return true;
  const tag = await readAt(file, { start: sizeBytes - 4 - tagBytes, length: 4 });
  return tag.readUIntBE(1, 3) !== tagBytes - 11;
}

async function endsWithinPng(file: FileHandle, _sizeBytes: number, signal?: AbortSignal): Promise<boolean> {
  let position = 8;
  for (let count = 0; count < maxParts; count += 1) {
    if (signal?.aborted) throw abortError(signal);
    const header = await readAt(file, { start: position, length: 8 });
    if (header.length < 8) return true;
    if (header.toString('latin1', 4, 8) === 'IEND') return false;
    position += 12 + header.readUInt32BE(0);
  }
  return false;
}

/** The file properties in the header, which mark a broadcast: the sizes in its headers are invalid. */
const asfProperties = Buffer.from('a1dcab8c47a9cf118ee400c00c205365', 'hex');
const asfBroadcast = 1;
/** GUIDs of the objects of which a file consists: the header, the data, and the indexes of four versions. */
const asfObjects = [
  '3026b2758e66cf11a6d900aa0062ce6c',
  '3626b2758e66cf11a6d900aa0062ce6c',
  '90080033b1e5cf1189f400a0c90349cb',
  'd329e2d6da35d111903400a0c90349be',
  'f803b1fead12644c840f2a1d2f7ad48c',
  'd03fb73c4a0c0348953dedf7b6228f0c',
].map((id) => Buffer.from(id, 'hex'));
const asfHeaderBytes = 24;

/** Follows the objects; the file size in the header may be that of a file before it was edited. */
async function endsWithinAsfObject(file: FileHandle, sizeBytes: number, signal?: AbortSignal): Promise<boolean> {
  if (await isAsfBroadcast(file)) return false;
  let position = 0;
  for (let count = 0; count < maxParts && position < sizeBytes; count += 1) {
    if (signal?.aborted) throw abortError(signal);
    const header = await readAt(file, { start: position, length: asfHeaderBytes });
    const id = header.subarray(0, 16);
    // Other data behind the last object do not make a file incomplete.
    if (!asfObjects.some((known) => known.subarray(0, id.length).equals(id))) return false;
    if (header.length < asfHeaderBytes) return true;
    const objectBytes = Number(header.readBigUInt64LE(16));
    if (objectBytes < asfHeaderBytes) return false;
    position += objectBytes;
  }
  return position > sizeBytes;
}

async function isAsfBroadcast(file: FileHandle): Promise<boolean> {
  const head = await readAt(file, { start: 0, length: searchedBytes });
  const start = head.indexOf(asfProperties);
  return start >= 0 && start + 92 <= head.length && (head.readUInt32LE(start + 88) & asfBroadcast) !== 0;
}

/** Some programs write zeros behind the trailer. */
async function lacksGifTrailer(file: FileHandle, sizeBytes: number): Promise<boolean> {
  const end = await readAt(file, { start: Math.max(0, sizeBytes - searchedBytes), length: searchedBytes });
  return end.findLast((byte) => byte !== 0) !== 0x3b;
}
