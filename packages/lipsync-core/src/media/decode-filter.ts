import { compositing, getAlphaDecoder, isRgb, toneMapping } from './color-conversion.ts';
import { framesPerSecond, type ClipFacts } from './media-types.ts';
import { orientationFilters } from './picture-orientation.ts';

export type PixelFormat = 'yuv420p' | 'rgb24';

export interface DecodeShape {
  readonly width: number;
  readonly height: number;
  readonly pixelFormat: PixelFormat;
  /** Range of clip frames, end exclusive. */
  readonly start: number;
  readonly end: number;
  /** Decodes the first of so many frames only; 1 by default. */
  readonly every?: number;
  /** Decodes only these parts of the range: ascending, without overlap, not together with `every`. */
  readonly parts?: readonly FrameRange[] | undefined;
  /** Reads the file from a keyframe shortly before the range on; `facts.seekOriginS` must be known. */
  readonly seek?: boolean | undefined;
  /** Cuts this area out of the upright picture; then `width` and `height` are those of the area. */
  readonly area?: PictureArea | undefined;
}

/** A part of a picture; all four numbers are even. */
export interface PictureArea {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Frames from `start` to `end`, exclusive. */
export interface FrameRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Builds the filter chain that converts a decoded clip to frames of one size, rate and format. Tracking and rendering
 * both use it, so that a frame index identifies the same picture in each. Contains only numbers and constants, never
 * text from the file.
 */
export function decodeFilter(facts: ClipFacts, shape: DecodeShape): string {
  return [
    ...deinterlacing(facts),
    ...timing(facts, shape),
    ...(needsTurning(facts) ? orientationFilters(facts.orientation) : []),
    // Square pixels by enlarging the short side, then even sizes; both leave ordinary pictures unchanged.
    `scale=w='trunc(iw*max(1,sar))':h='trunc(ih*max(1,1/sar))'`,
    'setsar=1',
    `crop=w='trunc(iw/2)*2':h='trunc(ih/2)*2':x=0:y=0`,
    ...compositing(facts.pixelFormat),
    ...(facts.hdr ? toneMapping(facts.hdr) : []),
    ...conversion(facts, shape.area ? { ...shape, width: facts.width, height: facts.height } : shape),
    ...(shape.area ? [`crop=w=${shape.area.width}:h=${shape.area.height}:x=${shape.area.x}:y=${shape.area.y}`] : []),
  ].join(',');
}

/**
 * Combines each frame from both fields and the neighboring frames. Must come first: the rows of a field are no longer
 * every second one after turning or scaling, and neighbors may be missing after a change of the rate.
 */
function deinterlacing({ interlacing }: ClipFacts): readonly string[] {
  switch (interlacing) {
    case undefined:
      return [];
    case 'marked':
      return ['bwdif=mode=send_frame:parity=auto:deint=interlaced'];
    case 'top_first':
      return ['bwdif=mode=send_frame:parity=tff:deint=all'];
    case 'bottom_first':
      return ['bwdif=mode=send_frame:parity=bff:deint=all'];
  }
}

/**
 * Whether pictures are turned by our filters: ffmpeg does not turn stills with an EXIF orientation, and turns clips
 * before they are deinterlaced.
 */
function needsTurning({ kind, interlacing }: ClipFacts): boolean {
  return kind === 'still' || interlacing !== undefined;
}

/** Input arguments that select the decoder and keep ffmpeg from turning pictures that `decodeFilter` turns. */
export function decoderArguments(facts: ClipFacts): readonly string[] {
  const decoder = getAlphaDecoder(facts.codec, facts.pixelFormat);
  return [...(needsTurning(facts) ? ['-noautorotate'] : []), ...(decoder === undefined ? [] : ['-c:v', decoder])];
}

function timing(facts: ClipFacts, { start, end, every = 1, parts, seek = false }: DecodeShape): readonly string[] {
  if (facts.kind === 'still') return [];
  const { numerator, denominator } = facts.frameRate;
  return [
    // Times count from the first frame of the clip, so that times after fps are numbers of frames wherever reading starts.
    seek ? `setpts='round(PTS-${facts.seekOriginS}/TB)'` : 'setpts=PTS-STARTPTS',
    `fps=${numerator}/${denominator}:round=near`,
    seek ? `trim=start_pts=${start}:end_pts=${end}` : `trim=start_frame=${start}:end_frame=${end}`,
    ...(every === 1 ? [] : [`select='not(mod(n,${every}))'`]),
    ...(parts
      ? [`select='${parts.map((part) => `between(n,${part.start - start},${part.end - 1 - start})`).join('+')}'`]
      : []),
  ];
}

function conversion(facts: ClipFacts, { width, height, pixelFormat }: DecodeShape): readonly string[] {
  const size = `scale=w=${width}:h=${height}:flags=bicubic`;
  if (pixelFormat === 'rgb24') return [...analysisSize(facts, width, height), 'format=rgb24'];
  if (isRgb(facts.pixelFormat)) return [`${size}:out_color_matrix=bt709:out_range=tv`, 'format=yuv420p'];
  return [size, `format=${rawPixelFormat(facts.color)}`];
}

/** Frames for analysis. Scaled before the conversion to RGB, which takes half the time of a combined conversion. */
function analysisSize(facts: ClipFacts, width: number, height: number): readonly string[] {
  const size = `scale=w=${width}:h=${height}:flags=area`;
  return isRgb(facts.pixelFormat) ? [size] : [size, 'format=yuv420p'];
}

/** The pixel format name of planar frames in ffmpeg, which encodes full range. */
export function rawPixelFormat(color: ClipFacts['color']): 'yuv420p' | 'yuvj420p' {
  return color.range === 'pc' ? 'yuvj420p' : 'yuv420p';
}

/** How far before a range ffmpeg looks for a keyframe; containers order frames by decoding time, a few frames earlier. */
const seekMarginS = 0.25;

/** Input arguments with which ffmpeg reads from a keyframe before the range on and keeps the times of the container. */
export function seekArguments(facts: ClipFacts, { start, seek = false }: DecodeShape): readonly string[] {
  if (!seek) return [];
  const timeS = (facts.seekOriginS ?? 0) + start / framesPerSecond(facts.frameRate) - seekMarginS;
  return ['-copyts', '-seek_timestamp', '1', '-noaccurate_seek', '-ss', timeS.toFixed(6)];
}

/** Extra time before the first frame: earlier frames are decoded and dropped, at 25 per second or faster. */
export function getSkipTimeMs(facts: ClipFacts, start: number): number {
  return (start * 1000) / Math.min(25, framesPerSecond(facts.frameRate));
}
