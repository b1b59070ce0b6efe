import { mouthCorners } from '../../../face/landmarks.ts';
import { at } from '../../../image/math.ts';
import { halved, planesOf, type Picture } from '../../../image/planes.ts';
import { PlanePatch, sampleBilinear } from '../../../image/warp-sampling.ts';
import type { FaceColors } from './face-colors.ts';
import { headRotation, type HeadPose } from './head-pose.ts';
import { createLipCurves, curveSamples, openingOf, readLipCurves, type LipCurves } from './lip-curves.ts';

/** A clip frame that shows the speaker's upper teeth: landmarks, and the picture around the mouth. */
export interface DonorFrame {
  readonly points: Float32Array;
  readonly luma: PlanePatch;
  readonly cb: PlanePatch;
  readonly cr: PlanePatch;
  /** Position of the patches in the picture; even. */
  readonly left: number;
  readonly top: number;
  readonly skinLuma: number;
}

/** Opening from which teeth are visible, and from which more adds nothing; relative to the mouth's width. */
const openings = { least: 0.1, ample: 0.32 } as const;
/**
 * Smallest contrast between teeth and the dark behind them or the lips, and smallest luma of teeth, relative to the
 * skin.
 */
const minimumContrast = 0.22;
const minimumTeethLuma = 0.5;
const profileSteps = 16;
/** Part of the mouth, around its middle, where front teeth are expected. */
export const frontTeeth = { from: 0.32, to: 0.68 } as const;

/** Finds the frame with the clearest view of the upper teeth. */
export class TeethDonorSearch {
  #best: DonorFrame | undefined;
  #bestScore = 0;

  get best(): DonorFrame | undefined {
    return this.#best;
  }

  /** Rates one frame by contrast, opening and head rotation. Copies its mouth when it is the best so far. */
  consider(picture: Picture, points: Float32Array, pose: HeadPose, { skin, lip }: FaceColors): void {
    const curves = createLipCurves();
    readLipCurves(pose, points, curves);
    const opening = openingOf(curves);
    if (!(opening > openings.least)) return;
    const frame = copyMouth(picture, points, (curves.right - curves.left) * pose.scale, skin.luma);
    if (frame === undefined) return;
    const { bright, dark } = measureTeeth(frame, pose, curves);
    // Teeth may fill the whole opening, as in a laugh.
    const contrast = (bright - Math.min(dark, lip.luma)) / skin.luma;
    if (contrast < minimumContrast || bright < minimumTeethLuma * skin.luma) return;
    const { yaw, pitch } = headRotation(pose);
    const score = contrast * Math.min(1, opening / openings.ample) * (1 - Math.hypot(yaw, pitch));
    if (score <= this.#bestScore) return;
    this.#bestScore = score;
    this.#best = frame;
  }
}

/** Copies a square around the mouth. Undefined when it leaves the picture. */
function copyMouth(
  picture: Picture,
  points: Float32Array,
  mouthWidthPx: number,
  skinLuma: number,
): DonorFrame | undefined {
  const [leftCorner, rightCorner] = mouthCorners.outer;
  const halfPx = Math.ceil(mouthWidthPx * 0.8);
  const centerX = (at(points, leftCorner * 3) + at(points, rightCorner * 3)) / 2;
  const centerY = (at(points, leftCorner * 3 + 1) + at(points, rightCorner * 3 + 1)) / 2;
  const left = Math.floor(centerX - halfPx) & ~1;
  const top = Math.floor(centerY - halfPx) & ~1;
  const size = (halfPx * 2 + 3) & ~1;
  if (left < 0 || top < 0 || left + size > picture.width || top + size > picture.height) return undefined;
  const planes = planesOf(picture);
  const area = { left, top, right: left + size, bottom: top + size };
  const [luma, cb, cr] = [new PlanePatch(), new PlanePatch(), new PlanePatch()];
  luma.copyFrom(planes.luma, area);
  cb.copyFrom(planes.cb, halved(area));
  cr.copyFrom(planes.cr, halved(area));
  return { points: points.slice(), luma, cb, cr, left, top, skinLuma };
}

/** Brightest luma between the lips and the darkest one below it, averaged over the front teeth. */
function measureTeeth(
  frame: DonorFrame,
  pose: HeadPose,
  curves: LipCurves,
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
