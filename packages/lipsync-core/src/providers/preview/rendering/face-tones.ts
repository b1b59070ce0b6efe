import type { Picture } from '../../../media/media-types.ts';
import { lipColorPoints, skinPoints } from '../../../face/landmarks.ts';
import { at, clamp } from '../../../image/math.ts';

/** A color as it is stored: luma and the blue and red differences, each 0–255. */
interface Tone {
  readonly luma: number;
  readonly blue: number;
  readonly red: number;
}

export interface FaceTones {
  readonly skin: Tone;
  readonly lip: Tone;
}

const patchRadiusPx = 2;

/** Mean luma of small patches around landmarks. */
function meanLuma(picture: Picture, points: Float32Array, landmarks: readonly number[]): number {
  const { width, height, data } = picture;
  let sum = 0;
  let count = 0;
  for (const landmark of landmarks) {
    const centerX = Math.round(at(points, landmark * 3));
    const centerY = Math.round(at(points, landmark * 3 + 1));
    if (
      centerX < patchRadiusPx ||
      centerY < patchRadiusPx ||
      centerX >= width - patchRadiusPx ||
      centerY >= height - patchRadiusPx
    )
      continue;
    for (let y = centerY - patchRadiusPx; y <= centerY + patchRadiusPx; y += 1) {
      for (let x = centerX - patchRadiusPx; x <= centerX + patchRadiusPx; x += 1) sum += at(data, y * width + x);
    }
    count += (2 * patchRadiusPx + 1) ** 2;
  }
  return count === 0 ? neutralLuma : sum / count;
}

const neutralLuma = 128;

function meanChroma(picture: Picture, points: Float32Array, landmarks: readonly number[], plane: 0 | 1): number {
  const { width, height, data } = picture;
  const halfWidth = width >> 1;
  const halfHeight = height >> 1;
  const start = width * height + plane * halfWidth * halfHeight;
  let sum = 0;
  for (const landmark of landmarks) {
    const x = clamp(Math.floor(at(points, landmark * 3) / 2), 0, halfWidth - 1);
    const y = clamp(Math.floor(at(points, landmark * 3 + 1) / 2), 0, halfHeight - 1);
    sum += at(data, start + y * halfWidth + x);
  }
  return sum / landmarks.length;
}

/** Brightness of the skin around the mouth, 0–255; a middle value when all of it lies outside the picture. */
export function skinLuma(picture: Picture, points: Float32Array): number {
  return meanLuma(picture, points, skinPoints);
}

/** Color of the skin around the mouth and of the lips. */
export function measureTones(picture: Picture, points: Float32Array): FaceTones {
  return { skin: toneAt(picture, points, skinPoints), lip: toneAt(picture, points, lipColorPoints) };
}

function toneAt(picture: Picture, points: Float32Array, landmarks: readonly number[]): Tone {
  return {
    luma: meanLuma(picture, points, landmarks),
    blue: meanChroma(picture, points, landmarks, 0),
    red: meanChroma(picture, points, landmarks, 1),
  };
}
