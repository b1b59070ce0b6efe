import type { ByteRange, FilePart } from '../ffmpeg-arguments.ts';
import type { ProbedStream, ProbeReport } from '../ffprobe.ts';
import { findMpegtsParts } from '../containers/mpegts-joins.ts';
import { findJoinedFiles } from '../containers/joined-files.ts';
import { readOggLayout } from '../containers/ogg-links.ts';
import { readOpenEndedSound } from '../containers/open-ended-sound.ts';
import { readWavLayout } from '../containers/wav-layout.ts';

/**
 * Returns the parts of a sound file that ffmpeg would read wrongly as one: it ends at the first part of joined WAV or
 * FLV files, loses frames between FLAC files, and reads the times in all other Ogg or MPEG-TS parts with the sample
 * rate of the first one. Samples behind a header without a length are one part. Empty for a file that ffmpeg reads as a
 * whole.
 */
export async function findSoundParts(
  path: string,
  { index }: ProbedStream,
  { format }: ProbeReport,
  signal?: AbortSignal,
): Promise<readonly FilePart[]> {
  const openEnded = await readOpenEndedSound(path);
  if (openEnded) return [openEnded.part];
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
      return (await readWavLayout(path, signal)).parts.map(({ range }) => range);
    case 'ogg':
      return (await readOggLayout(path, signal)).links;
    case 'mpegts':
      return findMpegtsParts(path, index, signal);
    default:
      return findJoinedFiles(path, formatName, signal);
  }
}
