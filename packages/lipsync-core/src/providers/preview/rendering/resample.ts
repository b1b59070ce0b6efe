import { at, clamp } from './numbers.ts';

/** A copy of part of one plane of a picture, to read from while the picture is written. */
export interface PlanePatch {
  data: Uint8Array;
  width: number;
  height: number;
}

export function createPlanePatch(): PlanePatch {
  return { data: new Uint8Array(0), width: 0, height: 0 };
}

/** Copies the rectangle at (`left`, `top`) of a plane that begins at `start` and has `stride` bytes a row. Grows the patch's memory where needed. */
export function copyPatch(
  patch: PlanePatch, source: Uint8Array, start: number, stride: number, left: number, top: number, width: number, height: number,
): void {
  if (patch.data.length < width * height) patch.data = new Uint8Array(width * height);
  patch.width = width;
  patch.height = height;
  for (let row = 0; row < height; row += 1) {
    const from = start + (top + row) * stride + left;
    patch.data.set(source.subarray(from, from + width), row * width);
  }
}

const phases = 64;

/** Four Catmull-Rom weights for each of `phases` positions between two pixels. */
const cubicWeights = Float32Array.from({ length: phases * 4 }, (_, index) => {
  const t = Math.floor(index / 4) / phases;
  const t2 = t * t;
  const t3 = t2 * t;
  if (index % 4 === 0) return (-t3 + 2 * t2 - t) / 2;
  if (index % 4 === 1) return (3 * t3 - 5 * t2 + 2) / 2;
  if (index % 4 === 2) return (-3 * t3 + 4 * t2 + t) / 2;
  return (t3 - t2) / 2;
});

/** Value of the patch at a place between pixels; keeps texture sharp (Catmull-Rom), positions rounded to 1/64 pixel. */
export function sampleSharp(patch: PlanePatch, x: number, y: number): number {
  const { data, width, height } = patch;
  const column = Math.floor(x);
  const row = Math.floor(y);
  if (column < 1 || row < 1 || column >= width - 2 || row >= height - 2) return sampleLinear(patch, x, y);
  const wx = ((x - column) * phases) << 2;
  const wy = ((y - row) * phases) << 2;
  const x0 = at(cubicWeights, wx);
  const x1 = at(cubicWeights, wx + 1);
  const x2 = at(cubicWeights, wx + 2);
  const x3 = at(cubicWeights, wx + 3);
  let index = (row - 1) * width + column - 1;
  let sum = at(cubicWeights, wy) * (x0 * at(data, index) + x1 * at(data, index + 1) + x2 * at(data, index + 2) + x3 * at(data, index + 3));
  index += width;
  sum += at(cubicWeights, wy + 1) * (x0 * at(data, index) + x1 * at(data, index + 1) + x2 * at(data, index + 2) + x3 * at(data, index + 3));
  index += width;
  sum += at(cubicWeights, wy + 2) * (x0 * at(data, index) + x1 * at(data, index + 1) + x2 * at(data, index + 2) + x3 * at(data, index + 3));
  index += width;
  sum += at(cubicWeights, wy + 3) * (x0 * at(data, index) + x1 * at(data, index + 1) + x2 * at(data, index + 2) + x3 * at(data, index + 3));
  return clamp(sum, 0, 255);
}

/** Value of the patch at a place between pixels, by straight lines; positions outside take the nearest edge. */
export function sampleLinear(patch: PlanePatch, x: number, y: number): number {
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
