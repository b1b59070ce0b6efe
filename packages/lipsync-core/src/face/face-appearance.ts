import { lumaOf } from '../image/color-matrix.ts';
import { at, medianInPlace, toByte } from '../image/math.ts';
import type { RgbPicture } from './face-regions.ts';
import { leftEyeCorners, lipColorPoints, outerLips, rightEyeCorners } from './landmarks.ts';

/** Skin of chin and jaw. */
const chinPoints = [
  200, 199, 175, 201, 421, 208, 428, 194, 418, 204, 424, 202, 422, 212, 432, 214, 434, 32, 262, 171, 396, 140, 369, 211,
  431, 210, 430, 169, 394,
] as const;
/** Forehead, brows and bridge of the nose, which hardly anything covers together with the mouth. */
const foreheadPoints = [151, 9, 107, 336, 66, 296, 69, 299, 6, 197, 195] as const;
/** The parts of a face that a small cover of the mouth leaves visible. */
const upperFacePoints = [
  ...foreheadPoints,
  ...([5, 4, 50, 280, 101, 330, 117, 346, 118, 347, 205, 425, 36, 266, 142, 371] as const),
] as const;
const lipPoints = [...outerLips, ...lipColorPoints, 73, 303, 90, 320, 74, 304] as const;
const sampledPoints = [...lipPoints, ...chinPoints, ...upperFacePoints] as const;

/** Position and length of each part of the face among the sampled points. */
export const appearanceParts = {
  lips: { start: 0, end: lipPoints.length },
  chin: { start: lipPoints.length, end: lipPoints.length + chinPoints.length },
  forehead: {
    start: lipPoints.length + chinPoints.length,
    end: lipPoints.length + chinPoints.length + foreheadPoints.length,
  },
  upperFace: { start: lipPoints.length + chinPoints.length, end: sampledPoints.length },
} as const;
export const appearancePointCount = sampledPoints.length;
/** Luma, Cb, Cr and texture of each sampled point. */
export const appearanceChannels = 4;
/** The sampled points, then the fraction of overexposed ones and of lips without the color of the skin. */
export const appearanceBytes = appearancePointCount * appearanceChannels + 2;
/** Position of the fractions, 0–255 for 0–1. */
export const appearanceFractions = { overexposed: appearanceBytes - 2, colorlessLips: appearanceBytes - 1 } as const;

/** Distance of the nine samples of a point, relative to the distance of the outer eye corners. */
const sampleSpacing = 0.03;
const overexposedLuma = 245;
/** Luma that the middle of the upper face is scaled to, so that a change of light changes no point. */
const usualLuma = 110;
const darkestLuma = 10;
const neutralChroma = 128;
/**
 * Lips are at least as red as the skin in relation to their luma, except in blue light. Below this share of the skin's
 * red they are a microphone, a mask or a caption. `leastSkin` is the Cr of skin that is colored enough for the
 * comparison.
 */
const colorless = { share: 0.35, leastSkin: 13 } as const;

/**
 * Describes the look of a face at its landmarks in `appearanceBytes` bytes, relative to the light on the upper face. The
 * same face gives similar bytes in every pose and expression; something in front of it does not. `points` are in pixels
 * of the picture.
 */
export function describeAppearance(picture: RgbPicture, points: Float32Array): Uint8Array {
  const samples = new Float32Array(appearancePointCount * appearanceChannels);
  const left = leftEyeCorners[0] * 3;
  const right = rightEyeCorners[0] * 3;
  const eyeDistance = Math.hypot(at(points, right) - at(points, left), at(points, right + 1) - at(points, left + 1));
  const spacing = Math.max(1, eyeDistance * sampleSpacing);
  for (const [index, point] of sampledPoints.entries())
    samplePoint(picture, { x: at(points, point * 3), y: at(points, point * 3 + 1), spacing }, samples, index);
  return normalize(samples);
}

interface SampleGrid {
  readonly x: number;
  readonly y: number;
  readonly spacing: number;
}

const lumas = new Float32Array(9);

/** Writes mean luma, Cb and Cr, and mean absolute deviation of luma, of nine pixels. */
function samplePoint(
  { rgb, width, height }: RgbPicture,
  { x, y, spacing }: SampleGrid,
  samples: Float32Array,
  index: number,
): void {
  let red = 0;
  let green = 0;
  let blue = 0;
  for (let sample = 0; sample < 9; sample += 1) {
    const column = Math.round(x - 0.5 + ((sample % 3) - 1) * spacing);
    const row = Math.round(y - 0.5 + (Math.floor(sample / 3) - 1) * spacing);
    const offset = (Math.min(height - 1, Math.max(0, row)) * width + Math.min(width - 1, Math.max(0, column))) * 3;
    const r = rgb[offset] ?? 0;
    const g = rgb[offset + 1] ?? 0;
    const b = rgb[offset + 2] ?? 0;
    red += r;
    green += g;
    blue += b;
    lumas[sample] = lumaOf(r, g, b);
  }
  const luma = lumaOf(red, green, blue) / 9;
  const target = index * appearanceChannels;
  samples[target] = luma;
  samples[target + 1] = (blue / 9 - luma) * 0.564;
  samples[target + 2] = (red / 9 - luma) * 0.713;
  let deviation = 0;
  for (let sample = 0; sample < 9; sample += 1) deviation += Math.abs(at(lumas, sample) - luma);
  samples[target + 3] = deviation / 9;
}

function normalize(samples: Float32Array): Uint8Array {
  const upperMedian = (channel: number): number =>
    medianInPlace(
      upperFacePoints.map((_, index) => at(samples, channelIndex(appearanceParts.upperFace.start + index, channel))),
    );
  const gain = usualLuma / Math.max(darkestLuma, upperMedian(0));
  const cb = upperMedian(1);
  const cr = upperMedian(2);
  const bytes = new Uint8Array(appearanceBytes);
  let overexposed = 0;
  for (let point = 0; point < appearancePointCount; point += 1) {
    const base = point * appearanceChannels;
    if (at(samples, base) > overexposedLuma) overexposed += 1;
    bytes[base] = toByte(at(samples, base) * gain);
    bytes[base + 1] = toByte(at(samples, base + 1) - cb + neutralChroma);
    bytes[base + 2] = toByte(at(samples, base + 2) - cr + neutralChroma);
    bytes[base + 3] = toByte(at(samples, base + 3) * gain);
  }
  bytes[appearanceFractions.overexposed] = toByte((overexposed / appearancePointCount) * 255);
  if (cr >= colorless.leastSkin)
    bytes[appearanceFractions.colorlessLips] = toByte(fractionOfColorlessLips(samples, (cr * gain) / usualLuma) * 255);
  return bytes;
}

/** `skinRedness` is Cr relative to luma. */
function fractionOfColorlessLips(samples: Float32Array, skinRedness: number): number {
  let count = 0;
  for (let index = 0; index < lipColorPoints.length; index += 1) {
    const base = (outerLips.length + index) * appearanceChannels;
    const redness = at(samples, base + 2) / Math.max(darkestLuma, at(samples, base));
    if (redness < skinRedness * colorless.share) count += 1;
  }
  return count / lipColorPoints.length;
}

function channelIndex(point: number, channel: number): number {
  return point * appearanceChannels + channel;
}
