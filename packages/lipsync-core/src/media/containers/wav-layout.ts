import { stat } from 'node:fs/promises';
import { abortError } from '../../errors/index.ts';
import type { ByteRange } from '../ffmpeg-arguments.ts';
import { readPart, unknownSizeBytes } from './file-bytes.ts';

/** A WAV file, alone or one of several that were joined byte by byte. */
export interface WavPart {
  /** From its header to the end of its samples. */
  readonly range: ByteRange;
  readonly samplesStart: number;
  /** The stated size of the samples; 0 when the writer did not know it. */
  readonly statedBytes: number;
  /** As stated; 0 when unknown. */
  readonly bytesPerSecond: number;
}

export interface WavLayout {
  readonly parts: readonly WavPart[];
  /** Bytes at the end that are neither samples nor chunks of a WAV file, without padding. */
  readonly unknownBytes: number;
}

const maxChunks = 10_000;
const fileName = /^(?:RIFF|RF64|BW64)$/;
const chunkName = /^[\x20-\x7e]{4}$/;
const chunkHeaderBytes = 8;
const fileHeaderBytes = 12;
const searchedBytes = 65_536;

/** Reads where the samples of a WAV file are, and what follows them. Reads headers only. Throws the abort error. */
export async function readWavLayout(path: string, signal?: AbortSignal): Promise<WavLayout> {
  const { size: fileBytes } = await stat(path);
  const parts: WavPart[] = [];
  let start = 0;
  let position = 0;
  let bytesPerSecond = 0;
  for (let count = 0; count < maxChunks && position + chunkHeaderBytes <= fileBytes; count += 1) {
    if (signal?.aborted) throw abortError(signal);
    const { name, sizeBytes, isFile } = await readHeader(path, position);
    const contents = position + chunkHeaderBytes;
    if (isFile) {
      start = position;
      position += fileHeaderBytes;
    } else if (name === 'data' && parts.at(-1)?.range.start !== start) {
      const end = sizeBytes === 0 ? fileBytes : Math.min(fileBytes, contents + sizeBytes);
      const statedBytes = sizeBytes < unknownSizeBytes ? sizeBytes : 0;
      parts.push({ range: { start, end }, samplesStart: contents, statedBytes, bytesPerSecond });
      position = await skipPadding(path, end);
    } else if (chunkName.test(name) && contents + sizeBytes <= fileBytes) {
      if (name === 'fmt ') bytesPerSecond = await readByteRate(path, contents);
      position = await skipPadding(path, contents + sizeBytes);
    } else break;
  }
  const isPadding = (await readPart(path, { start: position, length: searchedBytes })).every((byte) => byte === 0);
  return { parts, unknownBytes: isPadding || parts.length === 0 ? 0 : fileBytes - position };
}

async function readHeader(path: string, start: number) {
  const head = await readPart(path, { start, length: fileHeaderBytes });
  const name = head.toString('latin1', 0, 4);
  const isFile = fileName.test(name) && head.toString('latin1', 8, 12) === 'WAVE';
  return { name, sizeBytes: head.readUInt32LE(4), isFile };
}

async function readByteRate(path: string, start: number): Promise<number> {
  const format = await readPart(path, { start, length: 12 });
  return format.length < 12 ? 0 : format.readUInt32LE(8);
}

/** Chunks begin at even positions of their file, but not every writer pads them. */
async function skipPadding(path: string, position: number): Promise<number> {
  const [byte] = await readPart(path, { start: position, length: 1 });
  return byte === 0 ? position + 1 : position;
}
