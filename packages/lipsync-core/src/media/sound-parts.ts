import type { ByteRange } from './ffmpeg-arguments.ts';
import type { ProbedStream, ProbeReport } from './ffprobe.ts';
import { findMpegtsParts } from './mpegts-joins.ts';
import { readOggLayout } from './ogg-links.ts';
import { readWavLayout } from './wav-layout.ts';

/** A part of a file that has to be decoded by itself, because its clock or its format changes. */
export interface SoundPart {
  readonly range: ByteRange;
  readonly demuxer: string;
}

/**
 * Returns the parts of a sound file that ffmpeg would read wrongly as one: it ends at the first part of joined WAV
 * files, and reads the times in all other Ogg or MPEG-TS parts with the sample rate of the first one. Empty for one part.
 */
export async function findSoundParts(
  path: string,
  { index }: ProbedStream,
  { format }: ProbeReport,
  signal?: AbortSignal,
): Promise<readonly SoundPart[]> {
  const ranges = await findRanges(path, { index, formatName: format.format_name, signal });
  return ranges.length > 1 ? ranges.map((range) => ({ range, demuxer: format.format_name })) : [];
}

interface SearchedFile {
  readonly index: number;
  readonly formatName: string;
  readonly signal: AbortSignal | undefined;
}

async function findRanges(path: string, { index, formatName, signal }: SearchedFile): Promise<readonly ByteRange[]> {
  switch (formatName) {
    case 'wav':
      return (await readWavLayout(path)).parts.map(({ range }) => range);
    case 'ogg':
      return (await readOggLayout(path)).links;
    case 'mpegts':
      return findMpegtsParts(path, index, signal);
    default:
      return [];
  }
}
