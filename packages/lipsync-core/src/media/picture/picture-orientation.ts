import type { FileHandle } from 'node:fs/promises';
import { readAt, withFile } from '../containers/file-bytes.ts';

/**
 * How the stored picture is turned and mirrored to become upright, as EXIF numbers it: 1 stored upright, 2 mirrored, 3
 * upside down, 4 mirrored upside down, 5 transposed, 6 to be turned clockwise, 7 transposed across the other diagonal,
 * 8 to be turned counterclockwise.
 */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

const filtersOf: Readonly<Record<Orientation, readonly string[]>> = {
  1: [],
  2: ['hflip'],
  3: ['hflip', 'vflip'],
  4: ['vflip'],
  5: ['transpose=cclock_flip'],
  6: ['transpose=clock'],
  7: ['transpose=clock_flip'],
  8: ['transpose=cclock'],
};

/** The filters that turn a stored picture upright. */
export function orientationFilters(orientation: Orientation): readonly string[] {
  return filtersOf[orientation];
}

/** Whether width and height of the upright picture are those of the stored one in reverse. */
export function isTransposed(orientation: Orientation): boolean {
  return orientation >= 5;
}

/**
 * The orientation of a display matrix as ffprobe prints it: three lines of an address and three numbers. ffprobe's
 * angle is not enough, because it is the same for mirrored pictures. Angles between quarter turns count as upright.
 */
export function parseDisplayMatrix(text: string): Orientation {
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.replace(/^.*:/, '').trim().split(/\s+/).map(Number));
  const [[xAcross = 1, yAcross = 0] = [], [xDown = 0, yDown = 1] = []] = rows;
  if (Math.abs(xAcross) > Math.abs(yAcross)) {
    if (xAcross > 0) return yDown > 0 ? 1 : 4;
    return yDown > 0 ? 2 : 3;
  }
  if (yAcross > 0) return xDown > 0 ? 5 : 6;
  return xDown > 0 ? 8 : 7;
}

/** The stills that may have an EXIF orientation, by their demuxer. */
const exifReaders: Readonly<Record<string, (file: FileHandle) => Promise<Buffer | undefined>>> = {
  jpeg_pipe: findJpegExif,
  png_pipe: findPngExif,
  webp_pipe: findWebpExif,
};

/**
 * Reads the EXIF orientation of a still; 1 without one. ffmpeg does not report it for PNG, and not in every version for
 * the others.
 */
export async function readExifOrientation(path: string, demuxer: string): Promise<Orientation> {
  const findExif = exifReaders[demuxer];
  if (!findExif) return 1;
  const exif = await withFile(path, findExif);
  return exif === undefined ? 1 : parseOrientation(exif);
}

/** Chunks and segments in which EXIF data are searched; encoders split large PNG files into thousands. */
const maxChunks = 50_000;
/** The orientation is in the first directory, long before any thumbnail. */
const maxExifBytes = 65_536;

async function findJpegExif(file: FileHandle): Promise<Buffer | undefined> {
  let position = 2;
  for (let count = 0; count < maxChunks; count += 1) {
    const header = await readAt(file, { start: position, length: 10 });
    const type = header[1] ?? 0;
    const isLastHeader = type === 0xda || type === 0xd9;
    if (header.length < 10 || header[0] !== 0xff || isLastHeader) return undefined;
    if (type === 0xff) {
      // Any number of 0xff may precede a marker.
      position += 1;
      continue;
    }
    const sizeBytes = header.readUInt16BE(2);
    if (type === 0xe1 && header.toString('latin1', 4, 10) === 'Exif\0\0')
      return readAt(file, { start: position + 10, length: Math.min(sizeBytes, maxExifBytes) });
    position += 2 + sizeBytes;
  }
  return undefined;
}

/** The chunk may also follow the picture. */
async function findPngExif(file: FileHandle): Promise<Buffer | undefined> {
  let position = 8;
  for (let count = 0; count < maxChunks; count += 1) {
    const header = await readAt(file, { start: position, length: 8 });
    if (header.length < 8) return undefined;
    const sizeBytes = header.readUInt32BE(0);
    if (header.toString('latin1', 4, 8) === 'eXIf')
      return readAt(file, { start: position + 8, length: Math.min(sizeBytes, maxExifBytes) });
    position += 12 + sizeBytes;
  }
  return undefined;
}

async function findWebpExif(file: FileHandle): Promise<Buffer | undefined> {
  let position = 12;
  for (let count = 0; count < maxChunks; count += 1) {
    const header = await readAt(file, { start: position, length: 8 });
    if (header.length < 8) return undefined;
    const sizeBytes = header.readUInt32LE(4);
    if (header.toString('latin1', 0, 4) === 'EXIF')
      return readAt(file, { start: position + 8, length: Math.min(sizeBytes, maxExifBytes) });
    position += 8 + sizeBytes + (sizeBytes % 2);
  }
  return undefined;
}

const orientationTag = 0x0112;
const bytesPerEntry = 12;

/** Finds the orientation in the first directory of EXIF data, which are a TIFF file; 1 if they have none. */
function parseOrientation(exif: Buffer): Orientation {
  // Some programs keep the prefix of JPEG segments in other files.
  const tiff = exif.toString('latin1', 0, 6) === 'Exif\0\0' ? exif.subarray(6) : exif;
  const byteOrder = tiff.toString('latin1', 0, 2);
  if (tiff.length < 10 || (byteOrder !== 'II' && byteOrder !== 'MM')) return 1;
  const isLittle = byteOrder === 'II';
  const read16 = (position: number): number => (isLittle ? tiff.readUInt16LE(position) : tiff.readUInt16BE(position));
  const directory = isLittle ? tiff.readUInt32LE(4) : tiff.readUInt32BE(4);
  if (directory + 2 > tiff.length) return 1;
  const entryCount = read16(directory);
  for (let index = 0; index < entryCount; index += 1) {
    const entry = directory + 2 + index * bytesPerEntry;
    if (entry + bytesPerEntry > tiff.length) break;
    if (read16(entry) !== orientationTag) continue;
    const value = read16(entry + 8);
    return isOrientation(value) ? value : 1;
  }
  return 1;
}

function isOrientation(value: number): value is Orientation {
  return Number.isInteger(value) && value >= 1 && value <= 8;
}
