import { lipColorPoints, skinPoints } from '../../../face/landmarks.ts';
import { at, clamp, mix } from '../../../image/math.ts';
import { planesOf, type Picture, type Plane } from '../../../image/planes.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples, type LipCurves } from './lip-curves.ts';

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

/** Part of the mouth, around its middle, in which the visible gap is measured. */
const gapColumns = { from: 0.2, to: 0.8, stride: 2 } as const;
/** Samples from the middle of the upper lip to that of the lower one. */
const gapSteps = 24;
/**
 * Luma relative to the lips below which a sample is dark and above which it is teeth, and redness below which it is
 * teeth.
 */
const darkRatio = 0.75;
const brightRatio = 1.3;
const paleRatio = 0.65;
/** Width over which a picture spreads a sharp edge, both edges of the gap together. */
const blurPx = 1;

interface GapSample {
  luma: number;
  /** Cr above neutral relative to luma, which is independent of shading. */
  redness: number;
}

/**
 * Height of the visible gap between the lips, relative to the mouth's width: the band whose color differs from that of
 * the lips, dark or as pale as teeth. The seam of closed lips stays below 0.03. Unlike the distance of landmarks it is
 * measured in the picture.
 */
export function measureVisibleGap(picture: Picture, pose: HeadPose, curves: Readonly<LipCurves>): number {
  let sum = 0;
  let count = 0;
  const first = Math.round(gapColumns.from * curveSamples);
  for (let k = first; k <= gapColumns.to * curveSamples; k += gapColumns.stride) {
    sum += gapAt(picture, pose, curves, k);
    count += 1;
  }
  return Math.max(0, sum / count - blurPx / pose.scale) / (curves.right - curves.left);
}

/** Height of the gap at one curve sample, in head units. */
function gapAt(picture: Picture, pose: HeadPose, curves: Readonly<LipCurves>, k: number): number {
  const across = mix(curves.left, curves.right, k / (curveSamples - 1));
  const top = (at(curves.outerUpper, k) + at(curves.innerUpper, k)) / 2;
  const bottom = (at(curves.innerLower, k) + at(curves.outerLower, k)) / 2;
  const upperLip = gapSampleAt(picture, pose, across, top);
  const lowerLip = gapSampleAt(picture, pose, across, bottom);
  const dark = darkRatio * Math.min(upperLip.luma, lowerLip.luma);
  const bright = brightRatio * Math.max(upperLip.luma, lowerLip.luma);
  let different = 0;
  for (let step = 1; step < gapSteps; step += 1) {
    const fraction = step / gapSteps;
    const { luma, redness } = gapSampleAt(picture, pose, across, mix(top, bottom, fraction));
    const pale = paleRatio * mix(upperLip.redness, lowerLip.redness, fraction);
    if (luma < dark || luma > bright || redness < pale) different += 1;
  }
  return ((bottom - top) * different) / gapSteps;
}

function gapSampleAt({ width, height, data }: Picture, pose: HeadPose, u: number, v: number): GapSample {
  const x = clamp(Math.round(pose.originX + u * pose.acrossX + v * pose.downX), 0, width - 1);
  const y = clamp(Math.round(pose.originY + u * pose.acrossY + v * pose.downY), 0, height - 1);
  const luma = at(data, y * width + x);
  const stride = width >> 1;
  const crStart = width * height + stride * (height >> 1);
  const cr = at(data, crStart + Math.min(y >> 1, (height >> 1) - 1) * stride + Math.min(x >> 1, stride - 1));
  return { luma, redness: (cr - neutralChroma) / Math.max(1, luma) };
}
