import type { SilenceMode } from '../../../contract/index.ts';
import { landmarkCount, type FaceFrame } from '../../../face/face-types.ts';
import type { Picture } from '../../../media/media-types.ts';
import { skinLuma } from './face-tones.ts';
import { liftTeeth } from './donor-teeth.ts';
import { createHeadPose, fitHeadPose, turnOf, type HeadPose } from './head-pose.ts';
import {
  copyLipCurves,
  createLipCurves,
  curveSamples,
  openingOf,
  readLipCurves,
  type LipCurves,
} from './lip-curves.ts';
import { paintInterior, type MouthInterior } from './mouth-interior.ts';
import type { MouthReference, NeutralMouth } from './mouth-reference.ts';
import { aimMouth, createMouthTarget, type MouthAim } from './mouth-target.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import { createPictureWriter } from './picture-writer.ts';
import { boundLipLine, type LipLine } from './row-trace.ts';
import { createWarpField, layWarpField } from './warp-field.ts';

/** Draws a speaking mouth into pictures of one clip. Keeps scratch memory between frames, so one renderer serves one thread. */
export interface MouthRenderer {
  /**
   * Changes `picture` in place so that its mouth has the shape `aim` asks for, and touches nothing but the lower
   * face. Pictures without a usable face stay as they are. Returns the bytes written.
   */
  render(picture: Picture, face: FaceFrame, aim: MouthAim): number;
}

export interface MouthRendererOptions {
  readonly reference: MouthReference;
  /** What pauses of the speech look like: `keep` leaves the clip's own mouth, `close` shuts it, `generate` follows the curve. */
  readonly silenceMode: SilenceMode;
}

/** Sines of the head's turn at which the effect begins to fade and is gone. */
const yawLimits = { from: 0.55, to: 0.8 } as const;
const pitchLimits = { from: 0.5, to: 0.75 } as const;
/** Span of openings above the speaker's closed one, as a share of the mouth's width, over which lips come to count as open. */
const partingSpan = 0.03;
/** Strip of open lips, as a share of the mouth's width and at most of the lip's thickness, that is counted as inside; and how far corners go out. */
const clearance = { shareOfMouth: 0.035, shareOfLip: 0.35, shareOfLipAtCorner: 0.8, corner: 0.055 } as const;
const featherShareOfMouth = 0.014;
const smallestFeatherPx = 0.8;
const foldShareOfMouth = 0.016;
const strongestFold = 0.4;
const smallestShare = 1 / 256;
const gainLimits = { low: 0.4, high: 2 } as const;

export function createMouthRenderer({ reference, silenceMode }: MouthRendererOptions): MouthRenderer {
  const { neutral } = reference;
  const interior = furnishInterior(reference);
  const pose = createHeadPose();
  const shown = createLipCurves();
  const source = createLipCurves();
  const target = createMouthTarget();
  const field = createWarpField();
  const writer = createPictureWriter();
  const line: LipLine = { curves: target.curves, top: 0, bottom: 0, featherPx: 1, foldStrength: 0, foldWidthPx: 1 };

  return {
    render(picture, face, aim) {
      if (face.presence === 'absent' || face.points.length < landmarkCount * 3 || !isFiniteAim(aim)) return 0;
      if (!fitHeadPose(neutral.template, face.points, pose)) return 0;
      readLipCurves(pose, face.points, shown);
      if (!isUsable(shown)) return 0;
      const share = facing(pose) * (silenceMode === 'keep' ? clamp(aim.voiced, 0, 1) : 1);
      if (share < smallestShare) return 0;
      const parted = quietClosedLips(shown, neutral);
      copyLipCurves(shown, source);
      clearOfTeeth(source, parted);
      aimMouth(neutral, pose, { shown, source }, silenceMode === 'close' ? shutInPauses(aim) : aim, share, target);
      if (!layWarpField(field, pose, face.points, source, target, picture)) return 0;
      const mouthPx = neutral.width * pose.scale;
      line.featherPx = Math.max(smallestFeatherPx, mouthPx * featherShareOfMouth);
      line.foldWidthPx = Math.max(smallestFeatherPx, mouthPx * foldShareOfMouth);
      line.foldStrength = strongestFold * share * parted * smoothStep(0.06, 0, openingOf(target.curves));
      boundLipLine(line, pose);
      const gain = clamp(skinLuma(picture, face.points) / interior.skinLuma, gainLimits.low, gainLimits.high);
      return writer.write({
        picture,
        field,
        pose,
        line,
        interior,
        anchor: target.anchor,
        share,
        gain,
        mouthWidth: neutral.width,
      });
    },
  };
}

/** Painted, with the speaker's own teeth where the clip shows them. */
function furnishInterior({ neutral, tones, donor }: MouthReference): MouthInterior {
  const painted = paintInterior(tones, neutral.width);
  const teeth = donor === undefined ? undefined : liftTeeth(donor, neutral);
  if (teeth === undefined) return painted;
  const gain = tones.skin.luma / teeth.skinLuma;
  for (let index = 0; index < teeth.layer.luma.length; index += 1)
    teeth.layer.luma[index] = at(teeth.layer.luma, index) * gain;
  const cavity = { ...painted.cavity, luma: Math.min(painted.cavity.luma, teeth.cavityLuma * gain) };
  return { ...painted, upper: teeth.layer, cavity };
}

function isFiniteAim(aim: MouthAim): boolean {
  return Number.isFinite(aim.open + aim.wide + aim.closure + aim.voiced);
}

function shutInPauses(aim: MouthAim): MouthAim {
  const voiced = clamp(aim.voiced, 0, 1);
  return { open: aim.open * voiced, wide: aim.wide * voiced, closure: aim.closure, voiced };
}

/** 1 for a face towards the camera, falling to 0 as it turns away. */
function facing(pose: HeadPose): number {
  const turn = turnOf(pose);
  return (
    smoothStep(yawLimits.to, yawLimits.from, Math.abs(turn.yaw)) *
    smoothStep(pitchLimits.to, pitchLimits.from, Math.abs(turn.pitch))
  );
}

function isUsable(curves: LipCurves): boolean {
  let sum = curves.left + curves.right;
  for (let k = 0; k < curveSamples; k += 1)
    sum += at(curves.outerUpper, k) + at(curves.innerUpper, k) + at(curves.innerLower, k) + at(curves.outerLower, k);
  return Number.isFinite(sum) && curves.right > curves.left;
}

/**
 * Moves the inner edges of open lips a little into the lips, and the corners a little out, so that what the
 * landmarks' error leaves of teeth and dark beside them is counted as inside and does not travel with the lips.
 * `parted` tells how far the lips count as open, 0–1.
 */
function clearOfTeeth(curves: LipCurves, parted: number): void {
  const width = curves.right - curves.left;
  const most = width * clearance.shareOfMouth * parted;
  for (let k = 0; k < curveSamples; k += 1) {
    const fromCorner = Math.min(k, curveSamples - 1 - k) / (curveSamples - 1);
    const shareOfLip = mix(clearance.shareOfLipAtCorner, clearance.shareOfLip, smoothStep(0, 0.2, fromCorner));
    const upper = at(curves.innerUpper, k);
    const lower = at(curves.innerLower, k);
    curves.innerUpper[k] = upper - Math.min(most, (upper - at(curves.outerUpper, k)) * shareOfLip);
    curves.innerLower[k] = lower + Math.min(most, (at(curves.outerLower, k) - lower) * shareOfLip);
  }
  curves.left -= width * clearance.corner * parted;
  curves.right += width * clearance.corner * parted;
}

/** Shuts lips that only the landmarks' noise holds apart. Returns how far they count as open: 0 shut, 1 left as they are. */
function quietClosedLips(curves: LipCurves, { closedOpening, neverClosed }: NeutralMouth): number {
  const parted = Math.max(neverClosed, smoothStep(closedOpening, closedOpening + partingSpan, openingOf(curves)));
  if (parted === 1) return 1;
  for (let k = 0; k < curveSamples; k += 1) {
    const middle = (at(curves.innerUpper, k) + at(curves.innerLower, k)) / 2;
    const half = ((at(curves.innerLower, k) - at(curves.innerUpper, k)) / 2) * parted;
    curves.innerUpper[k] = middle - half;
    curves.innerLower[k] = middle + half;
  }
  return parted;
}
