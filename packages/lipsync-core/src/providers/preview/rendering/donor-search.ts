import type { Picture } from '../../../media/media-types.ts';
import type { FaceTones } from './face-tones.ts';
import { turnOf, type HeadPose } from './head-pose.ts';
import { createLipCurves, curveSamples, openingOf, readLipCurves } from './lip-curves.ts';
import { at } from '../../../image/math.ts';
import { halved, planesOf } from '../../../image/planes.ts';
import { PlanePatch, sampleBilinear } from '../../../image/warp-sampling.ts';

/** A frame of the clip in which the speaker shows the upper teeth: the picture around the mouth, and its landmarks. */
export interface DonorFrame {
  readonly points: Float32Array;
  readonly luma: PlanePatch;
  readonly blue: PlanePatch;
  readonly red: PlanePatch;
  /** Where the patches begin in the picture; even. */
  readonly left: number;
  readonly top: number;
  readonly skinLuma: number;
}

/** Opening below which no teeth can be told apart, and at which more does not help; shares of the mouth's width. */
const openings = { least: 0.13, ample: 0.24 } as const;
/** Least difference between teeth and the dark behind them, and least brightness of teeth, as shares of the skin's luma. */
const leastContrast = 0.22;
const leastTeethLuma = 0.5;
const profileSteps = 16;
/** Part of the mouth, around its middle, in which front teeth are looked for. */
const frontTeeth = { from: 0.32, to: 0.68 } as const;

/** Remembers the best donor among the frames it is shown. */
export class DonorSearch {
  #best: DonorFrame | undefined;
  #bestScore = 0;

  best(): DonorFrame | undefined {
    return this.#best;
  }

  /** Looks at one frame; copies the mouth's surroundings when it is the best so far. */
  consider(picture: Picture, points: Float32Array, pose: HeadPose, tones: FaceTones): void {
    const curves = createLipCurves();
    readLipCurves(pose, points, curves);
    const opening = openingOf(curves);
    if (!(opening > openings.least)) return;
    const frame = cutOut(picture, points, pose, curves.right - curves.left, tones.skin.luma);
    if (frame === undefined) return;
    const { bright, dark } = teethContrast(frame, pose, curves);
    const contrast = (bright - dark) / tones.skin.luma;
    if (contrast < leastContrast || bright < leastTeethLuma * tones.skin.luma) return;
    const turn = turnOf(pose);
    const score = contrast * Math.min(1, opening / openings.ample) * (1 - Math.hypot(turn.yaw, turn.pitch));
    if (score <= this.#bestScore) return;
    this.#bestScore = score;
    this.#best = frame;
  }
}

/** Copies a square around the mouth. Undefined where it leaves the picture. */
function cutOut(
  picture: Picture,
  points: Float32Array,
  pose: HeadPose,
  mouthWidth: number,
  skin: number,
): DonorFrame | undefined {
  const half = Math.ceil(mouthWidth * pose.scale * 0.8);
  const centerX = (at(points, 61 * 3) + at(points, 291 * 3)) / 2;
  const centerY = (at(points, 61 * 3 + 1) + at(points, 291 * 3 + 1)) / 2;
  const left = Math.floor(centerX - half) & ~1;
  const top = Math.floor(centerY - half) & ~1;
  const size = (half * 2 + 3) & ~1;
  const { width, height } = picture;
  if (left < 0 || top < 0 || left + size > width || top + size > height) return undefined;
  const [luma, blue, red] = [new PlanePatch(), new PlanePatch(), new PlanePatch()];
  const area = { left, top, right: left + size, bottom: top + size };
  const planes = planesOf(picture);
  luma.copyFrom(planes.luma, area);
  blue.copyFrom(planes.cb, halved(area));
  red.copyFrom(planes.cr, halved(area));
  return { points: points.slice(), luma, blue, red, left, top, skinLuma: skin };
}

/** Brightest and, below it, darkest level between the lips, averaged over the front teeth. */
function teethContrast(
  frame: DonorFrame,
  pose: HeadPose,
  curves: ReturnType<typeof createLipCurves>,
): { readonly bright: number; readonly dark: number } {
  const first = Math.round(frontTeeth.from * curveSamples);
  const last = Math.round(frontTeeth.to * curveSamples);
  const profile = Array.from({ length: profileSteps }, (_, step) => {
    let sum = 0;
    for (let k = first; k <= last; k += 1) {
      const u = curves.left + ((curves.right - curves.left) * k) / (curveSamples - 1);
      const upper = at(curves.innerUpper, k);
      const v = upper + ((at(curves.innerLower, k) - upper) * (step + 0.5)) / profileSteps;
      const x = pose.originX + u * pose.acrossX + v * pose.downX;
      const y = pose.originY + u * pose.acrossY + v * pose.downY;
      sum += sampleBilinear(frame.luma, x - frame.left, y - frame.top);
    }
    return sum / (last - first + 1);
  });
  const upperPart = profile.slice(0, Math.ceil(profileSteps * 0.6));
  const bright = Math.max(...upperPart);
  return { bright, dark: Math.min(bright, ...profile.slice(upperPart.indexOf(bright))) };
}
