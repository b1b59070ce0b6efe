import { open, stat } from 'node:fs/promises';
import { InputNotFoundError, LipsyncError, type ErrorCode } from '../errors/index.ts';
import type { ClipFacts } from './media-types.ts';

/**
 * Containers that hold their media themselves. Playlists and scripts (hls, dash, concat, image sequences and the like)
 * are left out because they name other files, which a stranger's upload must never make us read.
 */
const selfContainedFormats = [
  'mov,mp4,m4a,3gp,3g2,mj2',
  'mov',
  'mp4',
  'matroska,webm',
  'matroska',
  'webm',
  'avi',
  'mpegts',
  'mpeg',
  'mpegvideo',
  'm4v',
  'h264',
  'hevc',
  'flv',
  'gif',
  'asf',
  'mxf',
  'nut',
  'ivf',
  'dv',
  'ogg',
  'wav',
  'w64',
  'mp3',
  'flac',
  'aac',
  'ac3',
  'eac3',
  'aiff',
  'caf',
  'au',
  'amr',
  'png_pipe',
  'jpeg_pipe',
  'webp_pipe',
].join(',');

/** Demuxer of each still picture we take, by the codec that ffprobe names. */
const stillDemuxers: Readonly<Record<string, string>> = { png: 'png_pipe', mjpeg: 'jpeg_pipe', webp: 'webp_pipe' };

/**
 * Arguments that open a file as untrusted input: only local files and pipes, only self-contained containers, and a name
 * that is never taken for an option, a protocol or a number pattern. `demuxer` forces the container's reader.
 */
export function inputArguments(path: string, demuxer?: string): readonly string[] {
  return [
    '-protocol_whitelist',
    'file,pipe',
    '-format_whitelist',
    selfContainedFormats,
    ...(demuxer === undefined ? [] : ['-f', demuxer]),
    '-i',
    fileUrl(path),
  ];
}

/** A path as ffmpeg takes it literally, whatever it contains. */
export function fileUrl(path: string): string {
  return `file:${path}`;
}

/** The demuxer to force when decoding a probed clip; only stills need one, because ffmpeg would read `%d` in their name. */
export function clipDemuxer(facts: Pick<ClipFacts, 'kind' | 'codec'>): string | undefined {
  return facts.kind === 'still' ? stillDemuxers[facts.codec] : undefined;
}

/**
 * Checks that `path` is a readable file with something in it. Throws `InputNotFoundError`, or `emptyCode` for an empty
 * file; `what` names the input in the message.
 */
export async function requireFile(path: string, what: string, emptyCode: ErrorCode): Promise<void> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw new InputNotFoundError(`The ${what} does not exist or cannot be read. Check its path.`, { cause });
  });
  if (!facts.isFile()) throw new InputNotFoundError(`The ${what} is not a file. Give the path of a media file.`);
  if (facts.size === 0) throw new LipsyncError(emptyCode, `The ${what} is an empty file. Upload it again.`);
}

/** The demuxer for a PNG, JPEG or WebP picture, told by its first bytes; undefined for everything else. */
export async function sniffStillDemuxer(path: string): Promise<string | undefined> {
  const head = await readHead(path, 12);
  if (head.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]))) return 'png_pipe';
  if (head.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return 'jpeg_pipe';
  if (head.toString('latin1', 0, 4) === 'RIFF' && head.toString('latin1', 8, 12) === 'WEBP') return 'webp_pipe';
  return undefined;
}

async function readHead(path: string, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
