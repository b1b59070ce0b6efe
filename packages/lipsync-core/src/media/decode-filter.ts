import { framesPerSecond, type ClipFacts } from './media-types.ts';

export type PixelFormat = 'yuv420p' | 'rgb24';

export interface DecodeShape {
  readonly width: number;
  readonly height: number;
  readonly pixelFormat: PixelFormat;
  /** Clip frames to deliver, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/** Filters without which HDR clips cannot be brought to standard range. */
export const toneMapFilters = ['zscale', 'tonemap'] as const;

/** Color of everything that we convert ourselves: RGB sources and tone-mapped HDR. */
export const convertedColor = { primaries: 'bt709', transfer: 'bt709', space: 'bt709', range: 'tv' } as const;

/** Whether a pixel format stores red, green and blue (or a palette of them). */
export function isRgb(pixelFormat: string): boolean {
  return /^(rgb|bgr|gbr|argb|abgr|0rgb|0bgr|x2rgb|x2bgr|pal8|mono)/.test(pixelFormat);
}

/** Whether a pixel format has transparency. */
export function hasAlpha(pixelFormat: string): boolean {
  return /^(rgba|bgra|argb|abgr|gbrap|yuva|ya8|ya16|pal8)/.test(pixelFormat);
}

/**
 * The filter chain that turns a decoded clip into frames of one size, rate and format. Both passes over a clip (tracking
 * and rendering) use it, so that a frame index means the same picture in each. Made of numbers and our own words only:
 * nothing from the file reaches it.
 */
export function decodeFilter(facts: ClipFacts, shape: DecodeShape): string {
  return [
    ...timing(facts, shape),
    ...(facts.kind === 'still' ? turning(facts.rotationDegrees) : []),
    // Square pixels by enlarging the short side, then even sizes: both leave ordinary pictures untouched.
    `scale=w='trunc(iw*max(1,sar))':h='trunc(ih*max(1,1/sar))'`,
    'setsar=1',
    `crop=w='trunc(iw/2)*2':h='trunc(ih/2)*2':x=0:y=0`,
    ...(hasAlpha(facts.pixelFormat) ? ['format=gbrap', 'premultiply=inplace=1', 'format=gbrp'] : []),
    ...(facts.hdr ? toneMapping() : []),
    ...conversion(facts, shape),
  ].join(',');
}

function timing(facts: ClipFacts, { start, end }: DecodeShape): readonly string[] {
  if (facts.kind === 'still') return [];
  const { numerator, denominator } = facts.frameRate;
  return [
    'setpts=PTS-STARTPTS',
    `fps=${numerator}/${denominator}:round=near`,
    `trim=start_frame=${start}:end_frame=${end}`,
  ];
}

/** ffmpeg turns videos by itself, but not photographs whose orientation stands in their EXIF data. */
function turning(degrees: ClipFacts['rotationDegrees']): readonly string[] {
  switch (degrees) {
    case 0:
      return [];
    case 90:
      return ['transpose=clock'];
    case 180:
      return ['hflip', 'vflip'];
    case 270:
      return ['transpose=cclock'];
  }
}

/** PQ or HLG to BT.709 through linear light; the curve keeps faces, which lie far below the highlights, close to linear. */
function toneMapping(): readonly string[] {
  return [
    'zscale=transfer=linear:npl=100',
    'format=gbrpf32le',
    'zscale=primaries=bt709',
    'tonemap=tonemap=hable:desat=0',
    'zscale=transfer=bt709:matrix=bt709:range=tv',
    'format=yuv420p',
  ];
}

function conversion(facts: ClipFacts, { width, height, pixelFormat }: DecodeShape): readonly string[] {
  const size = `scale=w=${width}:h=${height}:flags=bicubic`;
  if (pixelFormat === 'rgb24') return [...analysisSize(facts, width, height), 'format=rgb24'];
  if (isRgb(facts.pixelFormat) || hasAlpha(facts.pixelFormat))
    return [`${size}:out_color_matrix=bt709:out_range=tv`, 'format=yuv420p'];
  return [size, `format=${rawPixelFormat(facts.color)}`];
}

/** Frames to be looked at, not shown. Shrunk before they become RGB, which takes ffmpeg half the time of doing both at once. */
function analysisSize(facts: ClipFacts, width: number, height: number): readonly string[] {
  const size = `scale=w=${width}:h=${height}:flags=area`;
  return isRgb(facts.pixelFormat) || hasAlpha(facts.pixelFormat) ? [size] : [size, 'format=yuv420p'];
}

/** ffmpeg's name of our planar frames: full-range pictures keep their range, and there the name says so. */
export function rawPixelFormat(color: ClipFacts['color']): 'yuv420p' | 'yuvj420p' {
  return color.range === 'pc' ? 'yuvj420p' : 'yuv420p';
}

/** Time to allow before the first frame: frames before the range are decoded and dropped, at 25 per second or faster. */
export function skippingMs(facts: ClipFacts, start: number): number {
  return (start * 1000) / Math.min(25, framesPerSecond(facts.frameRate));
}
