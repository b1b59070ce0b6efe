import { at, clamp } from './math.ts';
import type { PixelArea, Plane } from './planes.ts';
import { catmullRomWeights, phaseBits } from './resample-kernels.ts';

/**
 * A copy of part of a plane: the source of a warp while the plane itself is overwritten. Keeps its memory between
 * frames.
 */
export class PlanePatch {
  data = new Uint8Array(0);
  width = 0;
  height = 0;

  /** Copies `area`, given in pixels of `plane`. */
  copyFrom(plane: Plane, { left, top, right, bottom }: Readonly<PixelArea>): void {
    this.width = right - left;
    this.height = bottom - top;
    if (this.data.length < this.width * this.height) this.data = new Uint8Array(this.width * this.height);
    for (let row = 0; row < this.height; row += 1) {
      const from = plane.start + (top + row) * plane.width + left;
      this.data.set(plane.data.subarray(from, from + this.width), row * this.width);
    }
  }
}

const phases = 1 << phaseBits;
/** Ten fraction bits, so that the product of two weights and a byte fits into 31 bits. */
const weightBits = 10;
const cubicWeights = catmullRomWeights(weightBits);

/** Pixels `first` to `end` (exclusive) of row `row`, each with the displacement in luma pixels to its source. */
export interface DisplacedRow {
  readonly row: number;
  readonly first: number;
  readonly end: number;
  readonly shiftX: Float32Array;
  readonly shiftY: Float32Array;
}

const half = 1 << (weightBits * 2 - 1);

/**
 * Warps part of a row of luma with bicubic interpolation (Catmull-Rom, displacements truncated to 1/64 pixel); pixel
 * `first` goes to `output[start + first]`. The loop is unrolled because a third of the rendering time is spent here.
 */
export function warpLumaRow(patch: PlanePatch, source: DisplacedRow, output: Uint8Array, start: number): void {
  const { data, width, height } = patch;
  const { row, first, end, shiftX, shiftY } = source;
  const weights = cubicWeights;
  for (let pixel = first; pixel < end; pixel += 1) {
    const x = pixel + (shiftX[pixel] ?? 0);
    const y = row + (shiftY[pixel] ?? 0);
    if (!(x >= 1 && y >= 1 && x < width - 2 && y < height - 2)) {
      output[start + pixel] = Math.round(sampleBilinear(patch, x, y));
      continue;
    }
    const fineX = (x * phases) | 0;
    const fineY = (y * phases) | 0;
    const across = (fineX & (phases - 1)) << 2;
    const down = (fineY & (phases - 1)) << 2;
    const w0 = weights[across] ?? 0;
    const w1 = weights[across + 1] ?? 0;
    const w2 = weights[across + 2] ?? 0;
    const w3 = weights[across + 3] ?? 0;
    const i = Math.imul((fineY >> phaseBits) - 1, width) + (fineX >> phaseBits) - 1;
    const j = i + width;
    const k = j + width;
    const l = k + width;
    // Math.imul and `| 0` keep all sums in 32-bit integers, which V8 compiles without overflow checks.
    const top =
      (Math.imul(w0, data[i] ?? 0) +
        Math.imul(w1, data[i + 1] ?? 0) +
        Math.imul(w2, data[i + 2] ?? 0) +
        Math.imul(w3, data[i + 3] ?? 0)) |
      0;
    const upper =
      (Math.imul(w0, data[j] ?? 0) +
        Math.imul(w1, data[j + 1] ?? 0) +
        Math.imul(w2, data[j + 2] ?? 0) +
        Math.imul(w3, data[j + 3] ?? 0)) |
      0;
    const lower =
      (Math.imul(w0, data[k] ?? 0) +
        Math.imul(w1, data[k + 1] ?? 0) +
        Math.imul(w2, data[k + 2] ?? 0) +
        Math.imul(w3, data[k + 3] ?? 0)) |
      0;
    const bottom =
      (Math.imul(w0, data[l] ?? 0) +
        Math.imul(w1, data[l + 1] ?? 0) +
        Math.imul(w2, data[l + 2] ?? 0) +
        Math.imul(w3, data[l + 3] ?? 0)) |
      0;
    const above = Math.imul(weights[down] ?? 0, top) + Math.imul(weights[down + 1] ?? 0, upper);
    const below = Math.imul(weights[down + 2] ?? 0, lower) + Math.imul(weights[down + 3] ?? 0, bottom);
    const level = (above + below + half) >> (weightBits * 2);
    output[start + pixel] = level < 0 ? 0 : level > 255 ? 255 : level;
  }
}

const bilinearBits = 8;
const bilinearOne = 1 << bilinearBits;
const bilinearHalf = 1 << (bilinearBits * 2 - 1);

/** Where a warped row goes: pixel 0 at `start`, and the Cr plane `planeBytes` behind the Cb plane. */
export interface ChromaOutput {
  readonly data: Uint8Array;
  readonly start: number;
  readonly planeBytes: number;
}

/** Warps part of a row of both chroma planes with bilinear interpolation. */
export function warpChromaRow(cb: PlanePatch, cr: PlanePatch, source: DisplacedRow, output: ChromaOutput): void {
  const { width, height, data: cbData } = cb;
  const { data: crData } = cr;
  const { row, first, end, shiftX, shiftY } = source;
  const { data, start, planeBytes } = output;
  for (let pixel = first; pixel < end; pixel += 1) {
    const x = clamp(pixel + (shiftX[pixel] ?? 0) / 2, 0, width - 1);
    const y = clamp(row + (shiftY[pixel] ?? 0) / 2, 0, height - 1);
    const column = x | 0;
    const line = y | 0;
    const right = column < width - 1 ? 1 : 0;
    const below = line < height - 1 ? width : 0;
    const fx = ((x - column) * bilinearOne) | 0;
    const fy = ((y - line) * bilinearOne) | 0;
    const index = line * width + column;
    const w00 = Math.imul(bilinearOne - fx, bilinearOne - fy);
    const w01 = Math.imul(fx, bilinearOne - fy);
    const w10 = Math.imul(bilinearOne - fx, fy);
    const w11 = Math.imul(fx, fy);
    data[start + pixel] =
      (Math.imul(w00, cbData[index] ?? 0) +
        Math.imul(w01, cbData[index + right] ?? 0) +
        Math.imul(w10, cbData[index + below] ?? 0) +
        Math.imul(w11, cbData[index + below + right] ?? 0) +
        bilinearHalf) >>
      (bilinearBits * 2);
    data[start + planeBytes + pixel] =
      (Math.imul(w00, crData[index] ?? 0) +
        Math.imul(w01, crData[index + right] ?? 0) +
        Math.imul(w10, crData[index + below] ?? 0) +
        Math.imul(w11, crData[index + below + right] ?? 0) +
        bilinearHalf) >>
      (bilinearBits * 2);
  }
}

/** Bilinear interpolation between pixel centers (0, 0), (1, 0) …; positions outside take the nearest edge. */
export function sampleBilinear(patch: PlanePatch, x: number, y: number): number {
  const { data, width, height } = patch;
  const insideX = clamp(x, 0, width - 1);
  const insideY = clamp(y, 0, height - 1);
  const column = Math.min(Math.floor(insideX), Math.max(0, width - 2));
  const row = Math.min(Math.floor(insideY), Math.max(0, height - 2));
  const right = width > 1 ? 1 : 0;
  const below = height > 1 ? width : 0;
  const fx = insideX - column;
  const fy = insideY - row;
  const index = row * width + column;
  const top = at(data, index) + (at(data, index + right) - at(data, index)) * fx;
  const bottom = at(data, index + below) + (at(data, index + below + right) - at(data, index + below)) * fx;
  return top + (bottom - top) * fy;
}
