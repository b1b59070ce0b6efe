import { open } from 'node:fs/promises';
import { abortError } from '../../errors/index.ts';
import type { ByteRange } from '../ffmpeg-arguments.ts';

const pageHeaderBytes = 27;
const beginsStream = 2;
const readBytes = 1024 * 1024;
const maxLinks = 1_000;

export interface OggLayout {
  /** Streams that follow each other in one file, such as those of a radio program. */
  readonly links: readonly ByteRange[];
  /** Whether the file ends within a page. */
  readonly isTruncated: boolean;
}

/**
 * Reads the page headers of an Ogg file. Stops at damaged bytes, so that the last link may be longer than it is. Throws
 * the abort error.
 */
export async function readOggLayout(path: string, signal?: AbortSignal): Promise<OggLayout> {
  const starts: number[] = [];
  let isHeader = false;
  let isTruncated = false;
  for await (const page of readPages(path, signal)) {
    const isStart = page.beginsStream && !isHeader;
    isHeader = page.beginsStream;
    if (isStart && starts.length < maxLinks) starts.push(page.start);
    isTruncated = page.isCut;
  }
  return { links: starts.map((start, index) => ({ start, end: starts[index + 1] })), isTruncated };
}

interface OggPage {
  readonly start: number;
  readonly beginsStream: boolean;
  readonly isCut: boolean;
}

async function* readPages(path: string, signal: AbortSignal | undefined): AsyncGenerator<OggPage> {
  const file = await open(path, 'r');
  try {
    const { size: fileBytes } = await file.stat();
    const buffer = Buffer.alloc(readBytes);
    let start = 0;
    while (start < fileBytes) {
      if (signal?.aborted) throw abortError(signal);
      const { bytesRead } = await file.read(buffer, 0, readBytes, start);
      const { pages, next } = parsePages(buffer.subarray(0, bytesRead), start, fileBytes);
      yield* pages;
      if (next === start) return;
      start = next;
    }
  } finally {
    await file.close();
  }
}

/** Parses the pages whose headers are in `bytes`, which begin at `offset` of the file. */
function parsePages(
  bytes: Buffer,
  offset: number,
  fileBytes: number,
): { readonly pages: OggPage[]; readonly next: number } {
  const pages: OggPage[] = [];
  let position = 0;
  while (position + pageHeaderBytes <= bytes.length && bytes.toString('latin1', position, position + 4) === 'OggS') {
    const segments = bytes[position + 26] ?? 0;
    const contents = position + pageHeaderBytes + segments;
    if (contents > bytes.length && offset + bytes.length < fileBytes) break;
    const sizes = bytes.subarray(position + pageHeaderBytes, contents);
    const end = contents + sizes.reduce((sum, size) => sum + size, 0);
    const isCut = offset + end > fileBytes;
    pages.push({ start: offset + position, beginsStream: ((bytes[position + 5] ?? 0) & beginsStream) !== 0, isCut });
    position = end;
  }
  return { pages, next: offset + position };
}
