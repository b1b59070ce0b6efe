import { compositing, getAlphaDecoder, isRgb, toneMapping } from './color-conversion.ts';
import { framesPerSecond, type ClipFacts } from '../media-types.ts';
import { isTransposed, orientationFilters } from './picture-orientation.ts';

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
  /** Reads the file from a keyframe shortly before the range on; `canSeek` must be true. */
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
    ...uniformSize(facts),
    ...orientationFilters(facts.orientation),
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

function timing(facts: ClipFacts, { start, end, every = 1, parts, seek = false }: DecodeShape): readonly string[] {
  if (facts.kind === 'still') return [];
  const { numerator, denominator } = facts.frameRate;
  return [
    // Times count from the first frame of the clip, so that times after fps are numbers of frames wherever reading starts.
    clipTime(facts),
    `fps=${numerator}/${denominator}:round=near${seek ? '' : ':start_time=0'}`,
    `trim=start_pts=${start}:end_pts=${end}`,
    ...(every === 1 ? [] : [`select='not(mod(n,${every}))'`]),
    ...(parts
      ? [`select='${parts.map((part) => `between(n,${part.start - start},${part.end - 1 - start})`).join('+')}'`]
      : []),
  ];
}

/**
 * Square pixels by enlarging the short side, then even sizes; both leave ordinary pictures unchanged. Where the size
 * changes within a clip, pictures are fitted into the first size with black borders.
 */
function uniformSize({ orientation, ...upright }: ClipFacts): readonly string[] {
  const [width, height] = isTransposed(orientation) ? [upright.height, upright.width] : [upright.width, upright.height];
  const wide = 'trunc(iw*max(1,sar))';
  const high = 'trunc(ih*max(1,1/sar))';
  const isUsual = `between(${wide},${width},${width + 1})*between(${high},${height},${height + 1})`;
  const share = `min(${width}/(${wide}),${height}/(${high}))`;
  const fitted = (side: string): string => `if(${isUsual},${side},max(2,2*trunc(${side}*${share}/2+0.01)))`;
  return [
    `scale=w='${fitted(wide)}':h='${fitted(high)}':eval=frame`,
    'setsar=1',
    `pad=w='max(iw,${width})':h='max(ih,${height})':x='(ow-iw)/2':y='(oh-ih)/2':eval=frame`,
    `crop=w=${width}:h=${height}:x=0:y=0`,
  ];
}

/** Replaces the time of each decoded frame by its time in the clip. */
function clipTime({ clock, frameRate }: ClipFacts): string {
  if (clock?.type !== 'container') return `setpts='round(N/(${frameRate.numerator}/${frameRate.denominator}*TB))'`;
  const { originS, joins } = clock;
  if (joins.length === 0) return `setpts='round(PTS-${originS}/TB)'`;
  // Variable 0 counts the joins that were passed: the time decreased, or exceeds the last one before the next join.
  const passed = (differences: readonly number[]): string =>
    differences.map((value, index) => `+${value.toFixed(6)}*gt(ld(0),${index})`).join('');
  const lastTimes = joins.map(({ afterS }) => afterS);
  const shifts = joins.map(({ shiftS }, index) => shiftS - (joins[index - 1]?.shiftS ?? 0));
  const lastTime = `${lastTimes[0]}${passed(lastTimes.slice(1).map((time, index) => time - (lastTimes[index] ?? 0)))}`;
  const isBehind = `max(lt(T,PREV_INT-${clockToleranceS}),gt(T,${lastTime}+${clockToleranceS}))`;
  return `setpts='st(0,min(${joins.length},ld(0)+${isBehind}));round((T-${originS}${passed(shifts)})/TB)'`;
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

/** Containers round times to a millisecond or finer. */
const clockToleranceS = 0.002;

/** How far before a range ffmpeg looks for a keyframe; containers order frames by decoding time, a few frames earlier. */
const seekMarginS = 0.25;

/**
 * Input arguments that select the decoder, keep the times of the container, and keep the filters, with what they count,
 * when the size or the format of the picture changes. With `seek`, ffmpeg reads from a keyframe before the range on.
 */
export function clipInputArguments(facts: ClipFacts, { start, seek = false }: DecodeShape): readonly string[] {
  const decoder = getAlphaDecoder(facts.codec, facts.pixelFormat);
  // Neither the filters with which ffmpeg turns pictures by itself nor bwdif can follow a change of their size.
  const common = ['-noautorotate', ...(decoder === undefined ? [] : ['-c:v', decoder])];
  if (facts.kind === 'still') return common;
  const keepsFilters = facts.interlacing === undefined;
  const timed = [...common, '-copyts', ...(keepsFilters ? ['-reinit_filter', '0'] : [])];
  if (!seek || facts.clock?.type !== 'container') return timed;
  const timeS = facts.clock.originS + start / framesPerSecond(facts.frameRate) - seekMarginS;
  return [...timed, '-seek_timestamp', '1', '-noaccurate_seek', '-ss', timeS.toFixed(6)];
}

/** Facts with which a clip is always read from its start. */
export function withoutSeeking(facts: ClipFacts): ClipFacts {
  const { clock } = facts;
  return clock?.type === 'container' ? { ...facts, clock: { ...clock, canSeek: false } } : facts;
}

/** Whether frames of a clip can be found by seeking. */
export function canSeek({ clock }: ClipFacts): boolean {
  return clock?.type === 'container' && clock.canSeek;
}

/** Extra time before the first frame: earlier frames are decoded and dropped, at 25 per second or faster. */
export function getSkipTimeMs(facts: ClipFacts, start: number): number {
  return (start * 1000) / Math.min(25, framesPerSecond(facts.frameRate));
}
