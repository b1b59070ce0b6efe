import { stat } from 'node:fs/promises';
import { readPart } from './file-bytes.ts';

/** Frames are at most about 8 KiB long. */
const searchedBytes = 65_536;
/** Frames that must follow each other to be taken for frames. */
const provenFrames = 3;
const headerBytes = 7;

/** The length of the frame at a position in bytes; undefined where no frame begins. */
type FrameLength = (bytes: Buffer, position: number) => number | undefined;

/** Formats of frames that follow each other, by ffmpeg's names. */
const frameFormats: Readonly<Record<string, { readonly firstByte: number; readonly lengthOf: FrameLength }>> = {
  mp3: { firstByte: 0xff, lengthOf: mpegFrameLength },
  aac: { firstByte: 0xff, lengthOf: adtsFrameLength },
  ac3: { firstByte: 0x0b, lengthOf: ac3FrameLength },
  eac3: { firstByte: 0x0b, lengthOf: ac3FrameLength },
};

/**
 * Whether a file of MPEG audio, AAC or AC-3 frames, which states no length, ends within a frame. Undefined for other
 * formats.
 */
export async function endsWithinFrame(path: string, formatName: string): Promise<boolean | undefined> {
  const format = frameFormats[formatName];
  if (format === undefined) return undefined;
  const { size } = await stat(path);
  const start = Math.max(0, size - searchedBytes);
  const bytes = await readPart(path, { start, length: searchedBytes });
  const { firstByte, lengthOf } = format;
  for (let position = 0; position + headerBytes < bytes.length; position += 1) {
    const chain = followFrames(bytes, position, lengthOf);
    if (chain.frames >= provenFrames) return chain.end > bytes.length || isStartOfFrame(bytes, chain.end, firstByte);
  }
  return false;
}

/** Returns the number of frames from a position on, and the end of the last one. */
function followFrames(bytes: Buffer, start: number, lengthOf: FrameLength): { frames: number; end: number } {
  let end = start;
  for (let frames = 0; ; frames += 1) {
    const length = end + headerBytes <= bytes.length ? lengthOf(bytes, end) : undefined;
    if (length === undefined || length < headerBytes) return { frames, end };
    end += length;
  }
}

/** A header that is too short to be read. Tags at the end of a file are longer. */
function isStartOfFrame(bytes: Buffer, position: number, firstByte: number): boolean {
  const rest = bytes.length - position;
  return rest > 0 && rest < headerBytes && bytes[position] === firstByte;
}

const sampleRates = [44_100, 48_000, 32_000] as const;
/** Kilobits per second by index, of MPEG-1 layers I to III and of MPEG-2 layer I and layers II and III. */
const bitrates = {
  first: [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  ],
  second: [
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  ],
} as const;

/** ISO 11172-3 and 13818-3. */
function mpegFrameLength(bytes: Buffer, position: number): number | undefined {
  const header = bytes.readUInt32BE(position);
  if (header >>> 21 !== 0x7_ff) return undefined;
  const version = (header >>> 19) & 3;
  const layer = 4 - ((header >>> 17) & 3);
  const table = version === 3 ? bitrates.first : bitrates.second;
  const kilobits = table[layer - 1]?.[(header >>> 12) & 15];
  const rate = sampleRates[(header >>> 10) & 3];
  if (version === 1 || !kilobits || rate === undefined) return undefined;
  const perSecond = rate / (version === 3 ? 1 : version === 2 ? 2 : 4);
  const padding = (header >>> 9) & 1;
  if (layer === 1) return (Math.floor((12_000 * kilobits) / perSecond) + padding) * 4;
  const samplesPerByte = layer === 3 && version !== 3 ? 72_000 : 144_000;
  return Math.floor((samplesPerByte * kilobits) / perSecond) + padding;
}

/** ISO 13818-7. */
function adtsFrameLength(bytes: Buffer, position: number): number | undefined {
  if ((bytes.readUInt16BE(position) & 0xff_f6) !== 0xff_f0) return undefined;
  return (bytes.readUIntBE(position + 3, 3) >>> 5) & 0x1f_ff;
}

const ac3Kilobits = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640] as const;
/** Versions of the bitstream above this one are E-AC-3, whose frames state their size. */
const lastAc3Version = 10;

/** ETSI TS 102 366. */
function ac3FrameLength(bytes: Buffer, position: number): number | undefined {
  if (bytes.readUInt16BE(position) !== 0x0b_77) return undefined;
  if (bytes.readUInt8(position + 5) >> 3 > lastAc3Version) return ((bytes.readUInt16BE(position + 2) & 0x7_ff) + 1) * 2;
  const sizeCode = bytes.readUInt8(position + 4) & 63;
  const kilobits = ac3Kilobits[sizeCode >> 1];
  if (kilobits === undefined) return undefined;
  switch (bytes.readUInt8(position + 4) >> 6) {
    case 0:
      return kilobits * 4;
    case 1:
      return (Math.floor((kilobits * 320) / 147) + (sizeCode & 1)) * 2;
    case 2:
      return kilobits * 6;
    default:
      return undefined;
  }
}
