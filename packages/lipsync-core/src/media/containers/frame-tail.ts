import { stat } from 'node:fs/promises';
import { readPart } from './file-bytes.ts';

/** Frames are at most about 8 KiB long. */
const searchedBytes = 65_536;
/** Frames that must follow each other to be taken for frames. */
const provenFrames = 3;
const headerBytes = 7;

/** The length of the frame at a position in bytes; undefined where no frame begins. */
type FrameLength = (bytes: Buffer, position: number) => number | undefined;

/** Whether a file of MPEG audio or AAC frames, which states no length, ends within a frame. */
export async function endsWithinFrame(path: string, format: 'mp3' | 'aac'): Promise<boolean> {
  const { size } = await stat(path);
  const start = Math.max(0, size - searchedBytes);
  const bytes = await readPart(path, { start, length: searchedBytes });
  const lengthOf = format === 'mp3' ? mpegFrameLength : adtsFrameLength;
  for (let position = 0; position + headerBytes < bytes.length; position += 1) {
    const chain = followFrames(bytes, position, lengthOf);
    if (chain.frames >= provenFrames) return chain.end > bytes.length || isStartOfFrame(bytes, chain.end);
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
function isStartOfFrame(bytes: Buffer, position: number): boolean {
  const rest = bytes.length - position;
  return rest > 0 && rest < headerBytes && bytes[position] === 0xff;
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
