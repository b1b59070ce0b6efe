import type { Picture } from '../../../media/media-types.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples, type LipCurves } from './lip-curves.ts';
import { at, clamp, mix } from '../../../image/math.ts';

/** Part of the mouth, around its middle, that is looked at, and steps from the middle of one lip to that of the other. */
const columns = { from: 0.2, to: 0.8, stride: 2 } as const;
const steps = 24;
/** Shares of the lips' brightness below which a place counts as dark and above which as teeth, and of their redness below which it counts as teeth. */
const darkShare = 0.75;
const brightShare = 1.3;
const paleShare = 0.65;
/** What a sharp edge spreads over in a picture, both sides of the band together. */
const blurPx = 1;
const neutralChroma = 128;

interface Place {
  readonly luma: number;
  /** Red above gray, as a share of the brightness, so that shade does not change it. */
  readonly redness: number;
}

/**
 * How wide the band is that lies between the lips of a picture and looks unlike them, dark or as pale as teeth; a share of
 * the mouth's width. The line on which closed lips touch stays below 0.03. Unlike the distance of landmarks, this is seen.
 */
export function measureParting(picture: Picture, pose: HeadPose, curves: Readonly<LipCurves>): number {
  const width = curves.right - curves.left;
  let sum = 0;
  let count = 0;
  for (let k = Math.round(columns.from * curveSamples); k <= columns.to * curveSamples; k += columns.stride) {
    sum += bandAt(picture, pose, curves, k);
    count += 1;
  }
  return Math.max(0, sum / count - blurPx / pose.scale) / width;
}

/** Height of the band at one place across, head units. */
function bandAt(picture: Picture, pose: HeadPose, curves: Readonly<LipCurves>, k: number): number {
  const across = mix(curves.left, curves.right, k / (curveSamples - 1));
  const top = (at(curves.outerUpper, k) + at(curves.innerUpper, k)) / 2;
  const bottom = (at(curves.innerLower, k) + at(curves.outerLower, k)) / 2;
  const upperLip = placeAt(picture, pose, across, top);
  const lowerLip = placeAt(picture, pose, across, bottom);
  const dark = darkShare * Math.min(upperLip.luma, lowerLip.luma);
  const bright = brightShare * Math.max(upperLip.luma, lowerLip.luma);
  let unlike = 0;
  for (let step = 1; step < steps; step += 1) {
    const share = step / steps;
    const { luma, redness } = placeAt(picture, pose, across, mix(top, bottom, share));
    if (luma < dark || luma > bright || redness < paleShare * mix(upperLip.redness, lowerLip.redness, share))
      unlike += 1;
  }
  return ((bottom - top) * unlike) / steps;
}

function placeAt({ width, height, data }: Picture, pose: HeadPose, u: number, v: number): Place {
  const x = clamp(Math.round(pose.originX + u * pose.acrossX + v * pose.downX), 0, width - 1);
  const y = clamp(Math.round(pose.originY + u * pose.acrossY + v * pose.downY), 0, height - 1);
  const luma = at(data, y * width + x);
  const stride = width >> 1;
  const redPlane = width * height + stride * (height >> 1);
  const red = at(data, redPlane + Math.min(y >> 1, (height >> 1) - 1) * stride + Math.min(x >> 1, stride - 1));
  return { luma, redness: (red - neutralChroma) / Math.max(1, luma) };
}
