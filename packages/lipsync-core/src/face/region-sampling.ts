import type { FaceRegion } from './face-types.ts';

/** An RGB picture, 8 bit, `width × height × 3` bytes, rows from the top. */
export interface RgbPicture {
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** How bytes become model input: `byte × scale + offset`. */
export interface SampleRange {
  readonly scale: number;
  readonly offset: number;
}

/** What a turned square of the picture looks like from upright: `size × size` samples of its three planes. */
export interface RegionSample {
  readonly region: FaceRegion;
  readonly size: number;
  readonly range: SampleRange;
}

/** A straight walk over the picture: where it begins and what one sample to the right adds, in pixel-center coordinates. */
interface SampleRow {
  readonly x: number;
  readonly y: number;
  readonly stepX: number;
  readonly stepY: number;
}

/**
 * Fills `planes` (`3 × size × size`, red plane first) with the region, turned upright, bilinearly interpolated between
 * pixel centers; one sample each, as the models were trained. Outside the picture is black.
 */
export function sampleRegion(picture: RgbPicture, { region, size, range }: RegionSample, planes: Float32Array): void {
  const step = region.side / size;
  const stepX = Math.cos(region.roll) * step;
  const stepY = Math.sin(region.roll) * step;
  const middle = (size - 1) / 2;
  for (let row = 0; row < size; row += 1) {
    const x = region.centerX - 0.5 - middle * stepX - (row - middle) * stepY;
    const y = region.centerY - 0.5 - middle * stepY + (row - middle) * stepX;
    const walk = { x, y, stepX, stepY };
    const inside = isInside(picture, x, y) && isInside(picture, x + (size - 1) * stepX, y + (size - 1) * stepY);
    if (inside) sampleInnerRow(picture, walk, { size, range, start: row * size }, planes);
    else sampleRimRow(picture, walk, { size, range, start: row * size }, planes);
  }
}

interface RowTarget {
  readonly size: number;
  readonly range: SampleRange;
  readonly start: number;
}

/** Positions are whole numbers of 2^-16 pixels, weights of 2^-22: the largest sum of four weighed bytes still fits 31 bits. */
const positionBits = 16;
const shareBits = 11;
const one = 1 << shareBits;
const shareMask = one - 1;

/** A row whose samples all have four neighbors. Written out flat and in integers: it is the hottest loop of tracking. */
function sampleInnerRow(
  { rgb, width }: RgbPicture,
  walk: SampleRow,
  { size, range, start }: RowTarget,
  planes: Float32Array,
): void {
  const scale = range.scale / (one * one);
  const { offset } = range;
  const plane = size * size;
  const below = width * 3;
  const stepX = toFixed(walk.stepX);
  const stepY = toFixed(walk.stepY);
  let x = toFixed(walk.x);
  let y = toFixed(walk.y);
  for (let index = start; index < start + size; index += 1) {
    const right = (x >> (positionBits - shareBits)) & shareMask;
    const down = (y >> (positionBits - shareBits)) & shareMask;
    const d = Math.imul(right, down);
    const c = ((down << shareBits) - d) | 0;
    const b = ((right << shareBits) - d) | 0;
    const a = (one * one - (right << shareBits) - c) | 0;
    const i = Math.imul(Math.imul(y >> positionBits, width) + (x >> positionBits), 3);
    const k = (i + below) | 0;
    planes[index] =
      ((Math.imul(a, rgb[i] ?? 0) +
        Math.imul(b, rgb[i + 3] ?? 0) +
        Math.imul(c, rgb[k] ?? 0) +
        Math.imul(d, rgb[k + 3] ?? 0)) |
        0) *
        scale +
      offset;
    planes[index + plane] =
      ((Math.imul(a, rgb[i + 1] ?? 0) +
        Math.imul(b, rgb[i + 4] ?? 0) +
        Math.imul(c, rgb[k + 1] ?? 0) +
        Math.imul(d, rgb[k + 4] ?? 0)) |
        0) *
        scale +
      offset;
    planes[index + 2 * plane] =
      ((Math.imul(a, rgb[i + 2] ?? 0) +
        Math.imul(b, rgb[i + 5] ?? 0) +
        Math.imul(c, rgb[k + 2] ?? 0) +
        Math.imul(d, rgb[k + 5] ?? 0)) |
        0) *
        scale +
      offset;
    x = (x + stepX) | 0;
    y = (y + stepY) | 0;
  }
}

function toFixed(pixels: number): number {
  return Math.round(pixels * (1 << positionBits));
}

function sampleRimRow(
  { rgb, width, height }: RgbPicture,
  walk: SampleRow,
  { size, range, start }: RowTarget,
  planes: Float32Array,
): void {
  const plane = size * size;
  for (let column = 0; column < size; column += 1) {
    const x = walk.x + column * walk.stepX;
    const y = walk.y + column * walk.stepY;
    const left = Math.floor(x);
    const top = Math.floor(y);
    const outside = left < -1 || top < -1 || left >= width || top >= height;
    const x0 = Math.max(0, left);
    const x1 = Math.min(width - 1, left + 1);
    const y0 = Math.max(0, top) * width;
    const y1 = Math.min(height - 1, top + 1) * width;
    for (let channel = 0; channel < 3; channel += 1) {
      const upper = mix(rgb[(y0 + x0) * 3 + channel] ?? 0, rgb[(y0 + x1) * 3 + channel] ?? 0, x - left);
      const lower = mix(rgb[(y1 + x0) * 3 + channel] ?? 0, rgb[(y1 + x1) * 3 + channel] ?? 0, x - left);
      const value = outside ? 0 : mix(upper, lower, y - top);
      planes[start + column + channel * plane] = value * range.scale + range.offset;
    }
  }
}

function mix(first: number, second: number, share: number): number {
  return first + (second - first) * share;
}

/** A walk of whole steps ends a little beside the place that was computed for it. */
const rim = 1 / 64;

function isInside({ width, height }: RgbPicture, x: number, y: number): boolean {
  return x >= rim && y >= rim && x < width - 1 - rim && y < height - 1 - rim;
}

/** Where a point of the sample (in its pixels, from its top left corner) lies in the picture. */
export function toPicture(region: FaceRegion, size: number, x: number, y: number): readonly [number, number] {
  const step = region.side / size;
  const u = (x - size / 2) * step;
  const v = (y - size / 2) * step;
  const cosine = Math.cos(region.roll);
  const sine = Math.sin(region.roll);
  return [region.centerX + u * cosine - v * sine, region.centerY + u * sine + v * cosine];
}
