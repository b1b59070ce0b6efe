import { lipColorPoints, skinPoints } from '../../../face/landmarks.ts';
import { at, clamp, medianInPlace } from '../../../image/math.ts';
import { planesOf, type Picture, type Plane } from '../../../image/planes.ts';

/** A Y'CbCr color, 0–255 each. */
export interface Color {
  readonly luma: number;
  readonly cb: number;
  readonly cr: number;
}

/** Colors of the skin around the mouth and of the lips. */
export interface FaceColors {
  readonly skin: Color;
  readonly lip: Color;
}

export const neutralChroma = 128;
/** Result when all landmarks lie outside the picture. */
const fallbackLuma = 128;
const patchRadiusPx = 2;

export function measureColors(picture: Picture, points: Float32Array): FaceColors {
  return { skin: colorAt(picture, points, skinPoints), lip: colorAt(picture, points, lipColorPoints) };
}

/** Luma of the skin around the mouth, 0–255. */
export function measureSkinLuma({ width, height, data }: Picture, points: Float32Array): number {
  return meanLuma({ data, start: 0, width, height }, points, skinPoints);
}

function colorAt(picture: Picture, points: Float32Array, landmarks: readonly number[]): Color {
  const { luma, cb, cr } = planesOf(picture);
  return {
    luma: meanLuma(luma, points, landmarks),
    cb: meanChroma(cb, points, landmarks),
    cr: meanChroma(cr, points, landmarks),
  };
}

/** Mean of small patches around the landmarks inside the picture. */
function meanLuma({ start, width, height, data }: Plane, points: Float32Array, landmarks: readonly number[]): number {
  let sum = 0;
  let count = 0;
  for (const landmark of landmarks) {
    const centerX = Math.round(at(points, landmark * 3));
    const centerY = Math.round(at(points, landmark * 3 + 1));
    const insideX = centerX >= patchRadiusPx && centerX < width - patchRadiusPx;
    const insideY = centerY >= patchRadiusPx && centerY < height - patchRadiusPx;
    if (!insideX || !insideY) continue;
    for (let y = centerY - patchRadiusPx; y <= centerY + patchRadiusPx; y += 1) {
      for (let x = centerX - patchRadiusPx; x <= centerX + patchRadiusPx; x += 1)
        sum += at(data, start + y * width + x);
    }
    count += (2 * patchRadiusPx + 1) ** 2;
  }
  return count === 0 ? fallbackLuma : sum / count;
}

function meanChroma({ start, width, height, data }: Plane, points: Float32Array, landmarks: readonly number[]): number {
  let sum = 0;
  for (const landmark of landmarks) {
    const x = clamp(Math.floor(at(points, landmark * 3) / 2), 0, width - 1);
    const y = clamp(Math.floor(at(points, landmark * 3 + 1) / 2), 0, height - 1);
    sum += at(data, start + y * width + x);
  }
  return sum / landmarks.length;
}

/** Landmarks with the sharpest edges of a face: corners and lids of the eyes, irises. */
const edgePoints = [33, 133, 159, 145, 263, 362, 386, 374] as const;
/** Half of the side of a patch around such a landmark, relative to the distance of the outer eye corners. */
const edgePatch = 0.08;
/** Smallest contrast of a patch that has an edge. */
const leastContrast = 24;

/**
 * Width in pixels over which the picture spreads the sharpest edges around the eyes: about 1 in a sharp picture. It
 * grows with the enlargement of a soft one.
 */
export function measureEdgeWidth(
  { width, height, data }: Picture,
  points: Float32Array,
  eyeDistancePx: number,
): number {
  const radius = Math.max(2, Math.round(eyeDistancePx * edgePatch));
  const widths: number[] = [];
  for (const landmark of edgePoints) {
    const left = Math.max(0, Math.round(at(points, landmark * 3)) - radius);
    const top = Math.max(0, Math.round(at(points, landmark * 3 + 1)) - radius);
    let [darkest, brightest, steepest] = [255, 0, 0];
    for (let y = top; y < Math.min(height - 1, top + 2 * radius); y += 1) {
      for (let x = left; x < Math.min(width - 1, left + 2 * radius); x += 1) {
        const level = at(data, y * width + x);
        const across = at(data, y * width + x + 1) - level;
        const down = at(data, (y + 1) * width + x) - level;
        darkest = Math.min(darkest, level);
        brightest = Math.max(brightest, level);
        steepest = Math.max(steepest, across * across + down * down);
      }
    }
    if (brightest - darkest >= leastContrast) widths.push((brightest - darkest) / Math.sqrt(steepest));
  }
  return Math.max(1, medianInPlace(widths));
}
