/**
 * One upright picture in planar YUV 4:2:0, 8 bit: `width × height` bytes of luma, then Cb and Cr at half the width and
 * height.
 */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Color metadata as ffmpeg names it; a field is absent where the file does not specify it. */
export interface ColorTags {
  readonly primaries?: string;
  readonly transfer?: string;
  readonly space?: string;
  readonly range?: string;
}

/** One plane of 8-bit samples inside a larger array, rows from the top without padding. */
export interface Plane {
  readonly data: Uint8Array;
  /** Index of the first sample. */
  readonly start: number;
  readonly width: number;
  readonly height: number;
}

/**
 * A rectangle of whole pixels. `right` and `bottom` are exclusive. All four are even, so that it covers whole chroma
 * samples.
 */
export interface PixelArea {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** The same area in chroma pixels. */
export function halved({ left, top, right, bottom }: Readonly<PixelArea>): PixelArea {
  return { left: left >> 1, top: top >> 1, right: right >> 1, bottom: bottom >> 1 };
}

/** Views of the three planes of a picture, for reading and writing. */
export function planesOf({ width, height, data }: Picture): {
  readonly luma: Plane;
  readonly cb: Plane;
  readonly cr: Plane;
} {
  const chromaWidth = width >> 1;
  const chromaHeight = height >> 1;
  const chromaStart = width * height;
  return {
    luma: { data, start: 0, width, height },
    cb: { data, start: chromaStart, width: chromaWidth, height: chromaHeight },
    cr: { data, start: chromaStart + chromaWidth * chromaHeight, width: chromaWidth, height: chromaHeight },
  };
}

/**
 * An affine transform from target to source coordinates: the point `u` columns and `v` rows from the target's upper
 * left corner lies at `x + acrossX·u + downX·v`, `y + acrossY·u + downY·v` in the source. Both coordinate systems count
 * from corners: the first pixel covers 0 … 1.
 */
export interface AffineTransform {
  readonly x: number;
  readonly y: number;
  readonly acrossX: number;
  readonly acrossY: number;
  readonly downX: number;
  readonly downY: number;
}

/**
 * Offset of 4:2:0 chroma samples from the center of their four luma pixels, in chroma pixels. MPEG-2 and H.264 place
 * them on the left luma column and between the two luma rows ("left" chroma location).
 */
const chromaSitingPx = 0.25;

/** Converts a transform whose source is a luma plane into one whose source is the chroma planes of the same picture. */
export function toChromaSource(transform: AffineTransform): AffineTransform {
  return {
    x: transform.x / 2 + chromaSitingPx,
    y: transform.y / 2,
    acrossX: transform.acrossX / 2,
    acrossY: transform.acrossY / 2,
    downX: transform.downX / 2,
    downY: transform.downY / 2,
  };
}

/** Converts a transform whose target is a luma plane into one whose target is the chroma planes of the same picture. */
export function toChromaTarget(transform: AffineTransform): AffineTransform {
  const acrossX = transform.acrossX * 2;
  const acrossY = transform.acrossY * 2;
  return {
    x: transform.x - acrossX * chromaSitingPx,
    y: transform.y - acrossY * chromaSitingPx,
    acrossX,
    acrossY,
    downX: transform.downX * 2,
    downY: transform.downY * 2,
  };
}
