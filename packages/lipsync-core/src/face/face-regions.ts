import { mix } from '../image/math.ts';
import type { FaceBox, FaceRegion } from './face-types.ts';
import { leftEyeCorners, rightEyeCorners } from './landmarks.ts';

/** An RGB picture, 8 bits, `width × height × 3` bytes, rows from the top. */
export interface RgbPicture {
  readonly rgb: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** The iris points after the mesh points do not extend the face. */
const meshPointCount = 468;
/** Side of a region relative to the bounding box of its face. */
const marginFactor = 1.5;

/**
 * Limits of a difference between two regions: shift relative to the side, logarithm of the size ratio, rotation in
 * radians.
 */
interface RegionTolerance {
  readonly shift: number;
  readonly growth: number;
  readonly rotation: number;
}

const jitterTolerance: RegionTolerance = { shift: 0.006, growth: 0.012, rotation: 0.015 };
const centeringTolerance: RegionTolerance = { shift: 0.02, growth: 0.04, rotation: 0.04 };

/** The region of the landmark model for a detected face. */
export function regionOfBox(box: FaceBox): FaceRegion {
  return {
    centerX: box.x + box.width / 2,
    centerY: box.y + box.height / 2,
    side: Math.max(box.width, box.height) * marginFactor,
    roll: box.roll,
  };
}

/** The region of the landmark model for the next frame: the rotated bounding square of the landmarks. */
export function regionOfMesh(points: Float32Array): FaceRegion {
  const roll = outerEyeRoll(points);
  const cosine = Math.cos(roll);
  const sine = Math.sin(roll);
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let index = 0; index < meshPointCount; index += 1) {
    const x = points[index * 3] ?? 0;
    const y = points[index * 3 + 1] ?? 0;
    const across = x * cosine + y * sine;
    const down = y * cosine - x * sine;
    left = Math.min(left, across);
    right = Math.max(right, across);
    top = Math.min(top, down);
    bottom = Math.max(bottom, down);
  }
  const across = (left + right) / 2;
  const down = (top + bottom) / 2;
  return {
    centerX: across * cosine - down * sine,
    centerY: across * sine + down * cosine,
    side: Math.max(right - left, bottom - top) * marginFactor,
    roll,
  };
}

/** Returns `next`, or `old` when the two differ only by jitter, so that a still face keeps a still crop. */
export function stabilizeRegion(old: FaceRegion, next: FaceRegion): FaceRegion {
  return differs(old, next, jitterTolerance) ? next : old;
}

/** Whether the face lies so far from the center of the used region that its landmarks should be detected again. */
export function isOffCenter(used: FaceRegion, found: FaceRegion): boolean {
  return differs(used, found, centeringTolerance);
}

/** The upright bounding box of a region's face, without the margin. */
export function boxOfRegion({ centerX, centerY, side }: FaceRegion) {
  const size = side / marginFactor;
  return { x: centerX - size / 2, y: centerY - size / 2, width: size, height: size };
}

function differs(old: FaceRegion, next: FaceRegion, { shift, growth, rotation }: RegionTolerance): boolean {
  const shifted = Math.hypot(next.centerX - old.centerX, next.centerY - old.centerY) / old.side;
  const rotated = Math.abs(Math.atan2(Math.sin(next.roll - old.roll), Math.cos(next.roll - old.roll)));
  return shifted > shift || rotated > rotation || Math.abs(Math.log(next.side / old.side)) > growth;
}

function outerEyeRoll(points: Float32Array): number {
  const left = leftEyeCorners[0] * 3;
  const right = rightEyeCorners[0] * 3;
  const across = (points[right] ?? 0) - (points[left] ?? 0);
  const down = (points[right + 1] ?? 0) - (points[left + 1] ?? 0);
  return Math.atan2(down, across);
}

/** Conversion of bytes to model input: `byte × scale + offset`. */
export interface ValueScaling {
  readonly scale: number;
  readonly offset: number;
}

/** A region sampled upright at `size × size` points. */
export interface RegionSample {
  readonly region: FaceRegion;
  readonly size: number;
  readonly scaling: ValueScaling;
}

/** A row of samples: position of the first one and step to the next, in pixel-center coordinates. */
export interface SampleRow {
  readonly x: number;
  readonly y: number;
  readonly stepX: number;
  readonly stepY: number;
}

interface RowTarget {
  readonly size: number;
  readonly scaling: ValueScaling;
  readonly start: number;
}

/**
 * Fills `planes` (`3 × size × size`, red plane first) with the region, rotated upright, by bilinear interpolation of
 * single samples, as the models were trained. Outside the picture is black.
 */
export function sampleRegion(picture: RgbPicture, { region, size, scaling }: RegionSample, planes: Float32Array): void {
  const step = region.side / size;
  const stepX = Math.cos(region.roll) * step;
  const stepY = Math.sin(region.roll) * step;
  const middle = (size - 1) / 2;
  for (let index = 0; index < size; index += 1) {
    const x = region.centerX - 0.5 - middle * stepX - (index - middle) * stepY;
    const y = region.centerY - 0.5 - middle * stepY + (index - middle) * stepX;
    const row = { x, y, stepX, stepY };
    const target = { size, scaling, start: index * size };
    const inside = isInside(picture, x, y) && isInside(picture, x + (size - 1) * stepX, y + (size - 1) * stepY);
    if (inside) sampleInnerRow(picture, row, target, planes);
    else sampleEdgeRow(picture, row, target, planes);
  }
}

/**
 * Positions are fixed point with 16 fraction bits and weights with 22, so that a weighted sum of four bytes fits into
 * 31 bits.
 */
const positionBits = 16;
const fractionBits = 11;
const one = 1 << fractionBits;
const fractionMask = one - 1;

/**
 * Samples a row whose samples all have four neighbors. The loop is unrolled and integer: it is the hottest loop of
 * tracking.
 */
function sampleInnerRow({ rgb, width }: RgbPicture, row: SampleRow, target: RowTarget, planes: Float32Array): void {
  const { size, start } = target;
  const scale = target.scaling.scale / (one * one);
  const { offset } = target.scaling;
  const plane = size * size;
  const below = width * 3;
  const stepX = toFixed(row.stepX);
  const stepY = toFixed(row.stepY);
  let x = toFixed(row.x);
  let y = toFixed(row.y);
  for (let index = start; index < start + size; index += 1) {
    const right = (x >> (positionBits - fractionBits)) & fractionMask;
    const down = (y >> (positionBits - fractionBits)) & fractionMask;
    const d = Math.imul(right, down);
    const c = ((down << fractionBits) - d) | 0;
    const b = ((right << fractionBits) - d) | 0;
    const a = (one * one - (right << fractionBits) - c) | 0;
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

/** Samples a row that lies partly or wholly outside the picture. */
function sampleEdgeRow(
  { rgb, width, height }: RgbPicture,
  row: SampleRow,
  { size, scaling, start }: RowTarget,
  planes: Float32Array,
): void {
  const plane = size * size;
  for (let column = 0; column < size; column += 1) {
    const x = row.x + column * row.stepX;
    const y = row.y + column * row.stepY;
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
      planes[start + column + channel * plane] = value * scaling.scale + scaling.offset;
    }
  }
}

/** Margin for the accumulated rounding of fixed-point steps, pixels. */
const edgeMarginPx = 1 / 64;

function isInside({ width, height }: RgbPicture, x: number, y: number): boolean {
  return x >= edgeMarginPx && y >= edgeMarginPx && x < width - 1 - edgeMarginPx && y < height - 1 - edgeMarginPx;
}

/** Maps a point of a sampled region (in its pixels, from its top left corner) to the picture. */
export function toPicture(region: FaceRegion, size: number, x: number, y: number): readonly [number, number] {
  const step = region.side / size;
  const u = (x - size / 2) * step;
  const v = (y - size / 2) * step;
  const cosine = Math.cos(region.roll);
  const sine = Math.sin(region.roll);
  return [region.centerX + u * cosine - v * sine, region.centerY + u * sine + v * cosine];
}
