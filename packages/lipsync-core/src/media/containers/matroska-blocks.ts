import { LipsyncError } from '../../errors/index.ts';

/** A packet of a Matroska stream. `data` is valid until the next call of `push`. */
export interface MatroskaBlock {
  readonly timeMs: number;
  readonly data: Buffer;
}

const elements = {
  segment: 0x18_53_80_67,
  cluster: 0x1f_43_b6_75,
  clusterTime: 0xe7,
  blockGroup: 0xa0,
  block: 0xa1,
  simpleBlock: 0xa3,
} as const;

/** Elements whose children are read; all others but blocks and times are skipped. */
const parents: ReadonlySet<number> = new Set([elements.segment, elements.cluster, elements.blockGroup]);
const largestElementBytes = 16 * 1024 * 1024;
/** Track number (one byte below 127 tracks), relative time (two bytes), flags. */
const blockHeaderBytes = 4;

/** Parses the blocks of a Matroska stream with a single track and times in milliseconds, as ffmpeg writes to a pipe. */
export class MatroskaBlockParser {
  #rest: Buffer = Buffer.alloc(0);
  #clusterMs = 0;

  /** Returns the blocks that `chunk` completes. Throws `media_failed` for another kind of stream. */
  *push(chunk: Buffer): Generator<MatroskaBlock> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let position = 0;
    for (;;) {
      const header = readHeader(bytes, position);
      if (!header) break;
      const { id, sizeBytes, start } = header;
      if (parents.has(id)) {
        position = start;
        continue;
      }
      if (sizeBytes > largestElementBytes) throw unreadable();
      if (start + sizeBytes > bytes.length) break;
      position = start + sizeBytes;
      const content = bytes.subarray(start, position);
      if (id === elements.clusterTime) this.#clusterMs = content.length === 0 ? 0 : content.readUIntBE(0, sizeBytes);
      if (id === elements.simpleBlock || id === elements.block) yield this.#readBlock(content);
    }
    this.#rest = bytes.subarray(position);
  }

  #readBlock(content: Buffer): MatroskaBlock {
    if (content.length < blockHeaderBytes) throw unreadable();
    return { timeMs: this.#clusterMs + content.readInt16BE(1), data: content.subarray(blockHeaderBytes) };
  }
}

interface ElementHeader {
  readonly id: number;
  readonly sizeBytes: number;
  readonly start: number;
}

/** Returns undefined when the header is not complete yet. */
function readHeader(bytes: Buffer, position: number): ElementHeader | undefined {
  const idLength = lengthAt(bytes, position);
  const sizeLength = idLength === undefined ? undefined : lengthAt(bytes, position + idLength);
  if (idLength === undefined || sizeLength === undefined) return undefined;
  const start = position + idLength + sizeLength;
  if (start > bytes.length) return undefined;
  if (idLength > 4) throw unreadable();
  const first = (bytes[position + idLength] ?? 0) - 2 ** (8 - sizeLength);
  let sizeBytes = first;
  for (let index = 1; index < sizeLength; index += 1)
    sizeBytes = sizeBytes * 256 + (bytes[position + idLength + index] ?? 0);
  return { id: bytes.readUIntBE(position, idLength), sizeBytes, start };
}

/** Length of an EBML number in bytes: one more than the leading zero bits of its first byte. */
export function ebmlNumberLength(first = 0): number {
  return Math.clz32(first) - 23;
}

function lengthAt(bytes: Buffer, position: number): number | undefined {
  const first = bytes[position];
  if (first === undefined) return undefined;
  if (first === 0) throw unreadable();
  return ebmlNumberLength(first);
}

function unreadable(): LipsyncError {
  return new LipsyncError('media_failed', 'The decoded sound cannot be parsed. Install ffmpeg 5.1 or later.');
}
