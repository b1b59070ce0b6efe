import { landmarkCount } from '../../src/face/face-types.ts';
import type { Picture } from '../../src/media/media-types.ts';
import type { FacePlacement } from '../../src/providers/wav2lip/picture/face-crop.ts';

/** A synthetic face: center and hairline-to-chin height in pixels, roll in radians. */
export interface SyntheticFace {
  readonly x: number;
  readonly y: number;
  readonly height: number;
  readonly roll: number;
}

/** Clockwise from the hairline. */
const outline = [
  10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
  172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
] as const;
/** Other landmarks, relative to the center in units of the height. */
const inside: ReadonlyMap<number, readonly [across: number, down: number]> = new Map([
  [9, [0, -0.22]],
  [33, [-0.26, -0.12]],
  [133, [-0.1, -0.12]],
  [362, [0.1, -0.12]],
  [263, [0.26, -0.12]],
  [98, [-0.07, 0.12]],
  [2, [0, 0.13]],
  [327, [0.07, 0.12]],
  [205, [-0.2, 0.08]],
  [425, [0.2, 0.08]],
  [61, [-0.14, 0.25]],
  [291, [0.14, 0.25]],
  [0, [0, 0.2]],
  [17, [0, 0.31]],
]);

/** Landmarks of an oval frontal face. */
export function landmarksOf({ x, y, height, roll }: SyntheticFace): Float32Array {
  const points = new Float32Array(landmarkCount * 3);
  const place = (landmark: number, across: number, down: number): void => {
    points[landmark * 3] = x + height * (across * Math.cos(roll) - down * Math.sin(roll));
    points[landmark * 3 + 1] = y + height * (across * Math.sin(roll) + down * Math.cos(roll));
  };
  for (let landmark = 0; landmark < landmarkCount; landmark += 1) place(landmark, 0, 0);
  for (const [index, landmark] of outline.entries()) {
    const angle = (2 * Math.PI * index) / outline.length;
    place(landmark, 0.41 * Math.sin(angle), -0.5 * Math.cos(angle));
  }
  for (const [landmark, [across, down]] of inside) place(landmark, across, down);
  return points;
}

/** A picture with skin-like texture in luma and chroma. `texture` is the wavelength in pixels. */
export function texturedPicture(width: number, height: number, texture = 24): Picture {
  const data = new Uint8Array((width * height * 3) / 2);
  const wave = (2 * Math.PI) / texture;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      data[y * width + x] = Math.round(
        130 + 30 * Math.sin(x * wave) * Math.sin(y * wave) + 20 * Math.sin((x + 2 * y) * wave * 0.31),
      );
    }
  }
  for (const [plane, level] of [110, 150].entries()) {
    const start = width * height + (plane * width * height) / 4;
    for (let y = 0; y < height / 2; y += 1) {
      for (let x = 0; x < width / 2; x += 1)
        data[start + (y * width) / 2 + x] = Math.round(level + 8 * Math.sin((x - y) * wave));
    }
  }
  return { width, height, data };
}

export function copyOf(picture: Picture): Picture {
  return { ...picture, data: picture.data.slice() };
}

/** The luma square around mouth and chin, in which the mask is opaque. */
export function mouthSquare(
  picture: Picture,
  { centerX, centerY, height, roll }: FacePlacement,
): { readonly left: number; readonly top: number; readonly size: number } {
  const down = height * 0.24;
  const size = Math.floor((height * 0.32) / 8) * 8;
  return {
    left: clamp(Math.round(centerX - Math.sin(roll) * down - size / 2), picture.width - size),
    top: clamp(Math.round(centerY + Math.cos(roll) * down - size / 2), picture.height - size),
    size,
  };
}

/** Copies a square of a picture's luma. */
export function lumaSquare(
  { width, data }: Picture,
  { left, top, size }: { readonly left: number; readonly top: number; readonly size: number },
): Uint8Array {
  const square = new Uint8Array(size * size);
  for (let row = 0; row < size; row += 1)
    square.set(data.subarray((top + row) * width + left, (top + row) * width + left + size), row * size);
  return square;
}

function clamp(value: number, high: number): number {
  return Math.max(0, Math.min(high, value));
}
