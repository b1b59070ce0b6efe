import { LipsyncError } from '../../../errors/index.ts';
import type { FaceBatch } from './face-model.ts';

/**
 * Writes faces as the model takes them, planes of values from 0 to 1: blue, green and red of the frame to draw in, its
 * lower half zero, then of the reference. `frames` has room for count × 6 × size × size values, or more.
 */
export function writeFrames({ count, faces, references }: FaceBatch, cropSizePx: number, frames: Float32Array): void {
  const plane = cropSizePx * cropSizePx;
  const shown = Math.floor(cropSizePx / 2) * cropSizePx;
  for (let face = 0; face < count; face += 1) {
    const from = face * plane * 3;
    const to = face * plane * 6;
    writePlanes(faces, from, shown, frames, to, plane);
    for (let channel = 0; channel < 3; channel += 1)
      frames.fill(0, to + channel * plane + shown, to + (channel + 1) * plane);
    writePlanes(references, from, plane, frames, to + 3 * plane, plane);
  }
}

/** Splits the first `pixels` pixels of a face into three planes. */
function writePlanes(
  pixels: Uint8Array,
  from: number,
  count: number,
  planes: Float32Array,
  to: number,
  plane: number,
): void {
  for (let pixel = 0; pixel < count; pixel += 1) {
    const source = from + pixel * 3;
    planes[to + pixel] = (pixels[source] ?? 0) / 255;
    planes[to + plane + pixel] = (pixels[source + 1] ?? 0) / 255;
    planes[to + 2 * plane + pixel] = (pixels[source + 2] ?? 0) / 255;
  }
}

/**
 * Reads drawn faces, planes of values from 0 to 1, into bytes of three channels, rounded and clamped. Throws
 * `model_invalid` at a value that is not a finite number.
 */
export function readDrawnFaces(values: Float32Array, count: number, cropSizePx: number, faces: Uint8Array): void {
  const plane = cropSizePx * cropSizePx;
  // The typed array rounds and clamps; its own values are not looked at again.
  const clamped = new Uint8ClampedArray(faces.buffer, faces.byteOffset, faces.byteLength);
  for (let channel = 0; channel < count * 3; channel += 1) {
    const from = channel * plane;
    const to = Math.floor(channel / 3) * plane * 3 + (channel % 3);
    for (let pixel = 0; pixel < plane; pixel += 1) {
      const value = values[from + pixel] ?? Number.NaN;
      // The difference is 0 for every finite number and NaN for all others, which is quicker than asking by name.
      if (value - value !== 0) throw notFinite(value);
      clamped[to + pixel * 3] = value * 255;
    }
  }
}

function notFinite(value: number): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    'The model draws values that are not numbers. Fetch or import it again, or run it on another device.',
    {
      cause: new Error(`${value} among the values of a face`),
    },
  );
}
