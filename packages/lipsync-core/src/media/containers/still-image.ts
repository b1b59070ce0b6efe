import { readPart } from './file-bytes.ts';

/** Larger JPEG files are not searched for their end. */
const maxSearchedBytes = 64 * 1024 * 1024;

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const jpegSignature = Buffer.from([0xff, 0xd8, 0xff]);

/** Detects PNG, JPEG and WebP by their first bytes and returns the demuxer; undefined for other files. */
export async function sniffStillDemuxer(path: string): Promise<string | undefined> {
  const head = await readPart(path, { start: 0, length: 12 });
  if (head.subarray(0, 8).equals(pngSignature)) return 'png_pipe';
  if (head.subarray(0, 3).equals(jpegSignature)) return 'jpeg_pipe';
  if (head.toString('latin1', 0, 4) === 'RIFF' && head.toString('latin1', 8, 12) === 'WEBP') return 'webp_pipe';
  return undefined;
}

/** First bytes of images that are not accepted, and the name of their format. */
const otherImages: readonly (readonly [RegExp, string])[] = [
  [/^BM.{4}\0{4}/s, 'BMP'],
  [/^(?:II\*\0|MM\0\*)/, 'TIFF'],
  [/^(?:\xff\x0a|\0{3}\x0cJXL )/, 'JPEG XL'],
  [/^\xff\xd8\xff\xf7/, 'JPEG-LS'],
  [/^.{4}ftyp(?:hei[cmsx]|mif1)/s, 'HEIF'],
  [/^.{4}ftypavi[fs]/s, 'AVIF'],
];

/**
 * Detects images that ffmpeg does not read, reads in part, or takes for clips, by their first bytes: photos of phones
 * in HEIF consist of tiles. Returns the name of the format, undefined for other files.
 */
export async function sniffOtherImage(path: string): Promise<string | undefined> {
  const head = (await readPart(path, { start: 0, length: 12 })).toString('latin1');
  return otherImages.find(([pattern]) => pattern.test(head))?.[1];
}

/** Whether a WebP file declares an animation, which ffmpeg does not decode. */
export async function isAnimatedWebp(path: string): Promise<boolean> {
  const head = await readPart(path, { start: 12, length: 9 });
  return head.toString('latin1', 0, 4) === 'VP8X' && ((head[8] ?? 0) & 0x02) !== 0;
}

/** Whether a PNG has several frames, of which ffmpeg decodes the first one here. */
export async function isAnimatedPng(path: string): Promise<boolean> {
  const head = await readPart(path, { start: 0, length: 65_536 });
  const control = head.indexOf('acTL', 0, 'latin1');
  const data = head.indexOf('IDAT', 0, 'latin1');
  if (control === -1 || control + 8 > head.length || (data !== -1 && data < control)) return false;
  return head.readUInt32BE(control + 4) > 1;
}

/**
 * The size in the header of a PNG, which ffprobe reports as 0 × 0 when it is more than ffmpeg decodes. Undefined for
 * other files.
 */
export async function readPngSize(
  path: string,
): Promise<{ readonly width: number; readonly height: number } | undefined> {
  const head = await readPart(path, { start: 0, length: 24 });
  if (head.length < 24 || !head.subarray(0, 8).equals(pngSignature)) return undefined;
  return { width: head.readUInt32BE(16), height: head.readUInt32BE(20) };
}

export interface JpegEnd {
  /**
   * Whether the file ends before the end marker of its picture. ffmpeg decodes such a file and paints the rest gray.
   */
  readonly isTruncated: boolean;
  /**
   * Whether it has three pictures in a row, as raw MJPEG. Phones append pictures too, and list them in the first one.
   */
  readonly isSequence: boolean;
}

/** Finds the end of the first picture of a JPEG file. */
export async function readJpegEnd(path: string): Promise<JpegEnd> {
  const bytes = await readPart(path, { start: 0, length: maxSearchedBytes });
  const end = findEnd(bytes, 0);
  const isTruncated = end === undefined && bytes.length < maxSearchedBytes;
  const first = bytes.subarray(0, end);
  return { isTruncated, isSequence: !first.includes('MPF\0', 0, 'latin1') && countPictures(bytes, 3) === 3 };
}

/** Pictures that follow each other without other bytes between them, up to `most`. */
function countPictures(bytes: Buffer, most: number): number {
  let position: number | undefined = 0;
  let count = 0;
  while (count < most && position !== undefined && bytes.subarray(position, position + 3).equals(jpegSignature)) {
    count += 1;
    position = findEnd(bytes, position);
  }
  return count;
}

const marker = { startOfScan: 0xda, endOfImage: 0xd9 } as const;

/**
 * Position behind the end marker of the picture at `start`; undefined without one. Segments are skipped by their
 * length, because the thumbnail in one of them has an end marker of its own.
 */
function findEnd(bytes: Buffer, start: number): number | undefined {
  let position = start + 2;
  while (position + 4 <= bytes.length || bytes[position + 1] === marker.endOfImage) {
    const type = bytes[position + 1];
    if (type === marker.endOfImage) return position + 2;
    // Several 0xff may precede a marker.
    if (type === 0xff) position += 1;
    else {
      position += 2 + bytes.readUInt16BE(position + 2);
      if (type === marker.startOfScan) position = findMarker(bytes, position);
    }
  }
  return undefined;
}

/** In compressed data, 0xff is followed by 0 or by a restart marker; any other byte makes it a marker. */
function findMarker(bytes: Buffer, start: number): number {
  let position = bytes.indexOf(0xff, start);
  while (position >= 0) {
    const next = bytes[position + 1] ?? 0;
    if (next !== 0 && (next < 0xd0 || next > 0xd7)) return position;
    position = bytes.indexOf(0xff, position + 1);
  }
  return bytes.length;
}
