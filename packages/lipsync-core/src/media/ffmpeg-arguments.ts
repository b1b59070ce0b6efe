import type { ClipFacts, ColorTags } from './media-types.ts';

/**
 * Containers that embed their media. Playlists and scripts (hls, dash, concat, image sequences) are excluded because
 * they refer to other files, which an untrusted upload must never make the service read.
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
  'wv',
  'tta',
  'ape',
  'dts',
  'truehd',
  'loas',
  'png_pipe',
  'jpeg_pipe',
  'webp_pipe',
].join(',');

/** Demuxers of accepted still images, by the codec name of ffprobe. */
const stillDemuxers: Readonly<Record<string, string>> = { png: 'png_pipe', mjpeg: 'jpeg_pipe', webp: 'webp_pipe' };

/**
 * Arguments that open a file as untrusted input: `untrustedInputOptions` and a name that is never parsed as an option,
 * a protocol or a number pattern.
 */
export function inputArguments(path: string, demuxer?: string): readonly string[] {
  return [...untrustedInputOptions(demuxer), '-i', fileUrl(path)];
}

/** Bytes of a file; to its end without `end`, which is exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number | undefined;
}

/** A part of a file, and how ffmpeg reads it. */
export interface FilePart {
  readonly range: ByteRange;
  readonly demuxer: string;
  /** Options of the demuxer. */
  readonly options?: readonly string[];
}

/** Like `inputArguments`, but for a part of a file. */
export function partArguments(path: string, { range, demuxer, options = [] }: FilePart): readonly string[] {
  const { start, end = 0 } = range;
  const limits = ['-protocol_whitelist', 'file,subfile', '-format_whitelist', demuxer];
  return [...limits, '-f', demuxer, ...options, '-i', `subfile,,start,${start},end,${end},,:${fileUrl(path)}`];
}

/**
 * Selects one audio stream of the first input for an output, by its number among all streams or a specifier such as
 * `a:1`.
 */
export function selectSound(stream: number | string): readonly string[] {
  return ['-map', `0:${stream}`, '-vn', '-sn', '-dn'];
}

/** Allows only local files and pipes, and only self-contained containers. `demuxer` forces the container format. */
export function untrustedInputOptions(demuxer?: string): readonly string[] {
  return [
    '-protocol_whitelist',
    'file,pipe',
    '-format_whitelist',
    selfContainedFormats,
    ...(demuxer === undefined ? [] : ['-f', demuxer]),
  ];
}

/** Returns a path in the form that ffmpeg takes literally. */
export function fileUrl(path: string): string {
  return `file:${path}`;
}

/** The demuxer to force when decoding a clip. Only stills need one, because ffmpeg would expand `%d` in their names. */
export function clipDemuxer(facts: Pick<ClipFacts, 'kind' | 'codec'>): string | undefined {
  return facts.kind === 'still' ? stillDemuxers[facts.codec] : undefined;
}

export function colorArguments({ primaries, transfer, space, range }: ColorTags): readonly string[] {
  return [
    ...(primaries ? ['-color_primaries', primaries] : []),
    ...(transfer ? ['-color_trc', transfer] : []),
    ...(space ? ['-colorspace', space] : []),
    ...(range ? ['-color_range', range] : []),
  ];
}

/** Only floating-point PCM can contain non-finite values, which the AAC encoder rejects. */
export function isFloatingPoint(codec: string): boolean {
  return /^pcm_f(16|24|32|64)/.test(codec);
}
