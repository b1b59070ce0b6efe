import type { FileHandle } from 'node:fs/promises';
import { abortError } from '../../errors/index.ts';
import type { ByteRange } from '../ffmpeg-arguments.ts';
import { readAt, withFile } from './file-bytes.ts';

interface Beginning {
  readonly name: string;
  /** Whether the bytes from the name on begin a file: names alone occur in compressed data. */
  readonly isFile: (head: Buffer) => boolean;
}

const headBytes = 13;
const beginnings: Readonly<Record<string, Beginning>> = {
  // The first block describes the stream in 34 bytes; its first bit is set if it is the only block.
  flac: { name: 'fLaC', isFile: (head) => ((head[4] ?? 1) & 0x7f) === 0 && head.readUIntBE(5, 3) === 34 },
  // The header has nine bytes; the size of a tag before it is 0.
  flv: { name: 'FLV\x01', isFile: (head) => head.readUInt32BE(5) === 9 && head.readUInt32BE(9) === 0 },
};

const readBytes = 1024 * 1024;
const maxFiles = 1_000;

/**
 * Finds files of a format that were joined byte by byte. ffmpeg plays the first of joined FLV files, and loses frames
 * where the next FLAC file begins. Empty for a single file and for other formats. Throws the abort error.
 */
export async function findJoinedFiles(path: string, formatName: string, signal?: AbortSignal): Promise<ByteRange[]> {
  const beginning = beginnings[formatName];
  if (beginning === undefined) return [];
  const starts = await withFile(path, (file) => findStarts(file, beginning, signal));
  return starts.length < 2 ? [] : starts.map((start, index) => ({ start, end: starts[index + 1] }));
}

async function findStarts(file: FileHandle, { name, isFile }: Beginning, signal?: AbortSignal): Promise<number[]> {
  const { size } = await file.stat();
  const starts: number[] = [];
  // Consecutive reads overlap, so that a beginning at the end of one is whole in the next.
  for (let offset = 0; offset < size; offset += readBytes - headBytes) {
    if (signal?.aborted) throw abortError(signal);
    const bytes = await readAt(file, { start: offset, length: readBytes });
    const last = bytes.length - headBytes;
    for (let at = bytes.indexOf(name, 0, 'latin1'); at >= 0 && at <= last; at = bytes.indexOf(name, at + 1, 'latin1')) {
      if (!isFile(bytes.subarray(at)) || offset + at === starts.at(-1)) continue;
      starts.push(offset + at);
      if (starts.length === maxFiles) return starts;
    }
  }
  return starts;
}
