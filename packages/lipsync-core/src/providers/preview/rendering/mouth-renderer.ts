import type { SilenceMode } from '../../../contract/index.ts';
import { landmarkCount, type FaceFrame } from '../../../face/face-types.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import type { Picture } from '../../../image/planes.ts';
import { measureSkinLuma } from './face-colors.ts';
import { FrameCompositor } from './frame-compositor.ts';
import { createHeadPose, fitHeadPose, headRotation, type HeadPose } from './head-pose.ts';
import {
  copyLipCurves,
  createLipCurves,
  curveSamples,
  openingOf,
  readLipCurves,
  type LipCurves,
} from './lip-curves.ts';
import { paintInterior, type MouthInterior } from './mouth-interior.ts';
import type { MouthReference } from './mouth-reference.ts';
import { MouthTarget, type MouthShape } from './mouth-target.ts';
import type { NeutralMouth } from './neutral-mouth.ts';
import { updateLipLineExtent, type LipLine } from './row-warp.ts';
import { extractTeeth } from './teeth-donor.ts';
import { WarpField } from './warp-field.ts';

export interface MouthRendererOptions {
  readonly reference: MouthReference;
  /**
   * Appearance of pauses in the speech: `keep` shows the clip's own mouth, `close` closes it, `generate` follows the
   * curve.
   */
  readonly silenceMode: SilenceMode;
}

/** Sines of yaw and pitch between which the effect fades out. */
const yawLimits = { from: 0.55, to: 0.8 } as const;
const pitchLimits = { from: 0.5, to: 0.75 } as const;
/**
 * Range of openings above the speaker's closed one over which lips begin to count as open, relative to the mouth's
 * width.
 */
const openingRange = 0.03;
/**
 * Strip of open lips that counts as interior, relative to the mouth's width and at most to the lip's thickness, and
 * displacement of the corners.
 */
const inset = { ofMouth: 0.035, ofLip: 0.35, ofLipAtCorner: 0.8, corner: 0.055 } as const;
const featherOfMouth = 0.014;
const smallestFeatherPx = 0.8;
const creaseOfMouth = 0.016;
const strongestCrease = 0.4;
/** Weaker effects are skipped. */
const smallestStrength = 1 / 256;
const gainLimits = { low: 0.4, high: 2 } as const;

/**
 * Draws a speaking mouth into the pictures of one clip. Keeps memory between frames, so one renderer serves one thread.
 */
export class MouthRenderer {
  readonly #neutral: NeutralMouth;
  readonly #silenceMode: SilenceMode;
  readonly #interior: MouthInterior;
  readonly #pose = createHeadPose();
  readonly #shown = createLipCurves();
  readonly #source = createLipCurves();
  readonly #field = new WarpField(this.#pose);
  readonly #target: MouthTarget;
  readonly #line: LipLine;
  readonly #compositor: FrameCompositor;

  constructor({ reference, silenceMode }: MouthRendererOptions) {
    this.#neutral = reference.neutral;
    this.#silenceMode = silenceMode;
    this.#interior = createInterior(reference);
    this.#target = new MouthTarget(reference.neutral, this.#pose);
    this.#line = {
      curves: this.#target.curves,
      top: 0,
      bottom: 0,
      featherPx: 1,
      creaseStrength: 0,
      creaseWidthPx: 1,
    };
    this.#compositor = new FrameCompositor({
      field: this.#field,
      pose: this.#pose,
      line: this.#line,
      interior: this.#interior,
      mouthWidth: reference.neutral.width,
    });
  }

  /**
   * Gives the mouth in `picture` the wanted shape, in place. Only the lower face changes; pictures without a usable
   * face are left unchanged. `visibility`, 0–1, fades between the clip's own mouth and the wanted shape. Returns the
   * number of bytes written.
   */
  render(picture: Picture, face: FaceFrame, shape: MouthShape, visibility = 1): number {
    const { points } = face;
    const pose = this.#pose;
    const shown = this.#shown;
    const source = this.#source;
    const target = this.#target;
    if (face.presence === 'absent' || points.length < landmarkCount * 3 || !isFinite(shape)) return 0;
    if (!fitHeadPose(this.#neutral.template, points, pose)) return 0;
    readLipCurves(pose, points, shown);
    if (!isUsable(shown)) return 0;
    const strength = visibility * frontality(pose) * (this.#silenceMode === 'keep' ? clamp(shape.voiced, 0, 1) : 1);
    if (strength < smallestStrength) return 0;
    const openness = closeApparentGap(shown, this.#neutral);
    copyLipCurves(shown, source);
    insetInnerLips(source, openness);
    target.update({ shown, source }, this.#silenceMode === 'close' ? closedInPauses(shape) : shape, strength);
    if (!this.#field.update(points, source, target, picture)) return 0;
    this.#updateLine(strength * openness);
    const skinLuma = measureSkinLuma(picture, points);
    const brightness = skinLuma / this.#interior.skinLuma;
    const gain = clamp(brightness, gainLimits.low, gainLimits.high);
    const overexposure = smoothStep(1.15, 1.35, brightness) * smoothStep(205, 228, skinLuma);
    return this.#compositor.draw(picture, { anchor: target.anchor, strength, gain, skinLuma, overexposure });
  }

  #updateLine(creaseFactor: number): void {
    const line = this.#line;
    const mouthPx = this.#neutral.width * this.#pose.scale;
    line.featherPx = Math.max(smallestFeatherPx, mouthPx * featherOfMouth);
    line.creaseWidthPx = Math.max(smallestFeatherPx, mouthPx * creaseOfMouth);
    line.creaseStrength = strongestCrease * creaseFactor * smoothStep(0.06, 0, openingOf(line.curves));
    updateLipLineExtent(line, this.#pose);
  }
}

/** A synthetic interior, with the speaker's own teeth when the clip shows them. */
function createInterior({ neutral, colors, donor }: MouthReference): MouthInterior {
  const painted = paintInterior(colors, neutral.width);
  const teeth = donor === undefined ? undefined : extractTeeth(donor, neutral);
  if (teeth === undefined) return painted;
  const gain = colors.skin.luma / teeth.skinLuma;
  for (let index = 0; index < teeth.layer.luma.length; index += 1)
    teeth.layer.luma[index] = at(teeth.layer.luma, index) * gain;
  const cavity = { ...painted.cavity, luma: Math.min(painted.cavity.luma, teeth.cavityLuma * gain) };
  return { ...painted, upper: teeth.layer, cavity };
}

function isFinite({ open, wide, closure, voiced }: MouthShape): boolean {
  return Number.isFinite(open + wide + closure + voiced);
}

function closedInPauses({ open, wide, closure, voiced }: MouthShape): MouthShape {
  const gate = clamp(voiced, 0, 1);
  return { open: open * gate, wide: wide * gate, closure, voiced: gate };
}

/** 1 for a face towards the camera, falling to 0 as it turns away. */
function frontality(pose: HeadPose): number {
  const { yaw, pitch } = headRotation(pose);
  return (
    smoothStep(yawLimits.to, yawLimits.from, Math.abs(yaw)) *
    smoothStep(pitchLimits.to, pitchLimits.from, Math.abs(pitch))
  );
}

function isUsable(curves: LipCurves): boolean {
  let sum = curves.left + curves.right;
  for (let k = 0; k < curveSamples; k += 1)
    sum += at(curves.outerUpper, k) + at(curves.innerUpper, k) + at(curves.innerLower, k) + at(curves.outerLower, k);
  return Number.isFinite(sum) && curves.right > curves.left;
}

/**
 * Moves the inner edges of open lips into the lips and the corners outwards, so that teeth and dark that the landmarks
 * count as lip because of their error are replaced with the interior and not warped. `openness` is 0–1.
 */
function insetInnerLips(curves: LipCurves, openness: number): void {
  const width = curves.right - curves.left;
  const most = width * inset.ofMouth * openness;
  for (let k = 0; k < curveSamples; k += 1) {
    const fromCorner = Math.min(k, curveSamples - 1 - k) / (curveSamples - 1);
    const ofLip = mix(inset.ofLipAtCorner, inset.ofLip, smoothStep(0, 0.2, fromCorner));
    const upper = at(curves.innerUpper, k);
    const lower = at(curves.innerLower, k);
    curves.innerUpper[k] = upper - Math.min(most, (upper - at(curves.outerUpper, k)) * ofLip);
    curves.innerLower[k] = lower + Math.min(most, (at(curves.outerLower, k) - lower) * ofLip);
  }
  curves.left -= width * inset.corner * openness;
  curves.right += width * inset.corner * openness;
}

/** Closes lips that are open only by landmark noise. Returns the openness: 0 closed, 1 left unchanged. */
function closeApparentGap(curves: LipCurves, { closedOpening, openAtRest }: NeutralMouth): number {
  const openness = Math.max(openAtRest, smoothStep(closedOpening, closedOpening + openingRange, openingOf(curves)));
  if (openness === 1) return 1;
  for (let k = 0; k < curveSamples; k += 1) {
    const middle = (at(curves.innerUpper, k) + at(curves.innerLower, k)) / 2;
    const halfGap = ((at(curves.innerLower, k) - at(curves.innerUpper, k)) / 2) * openness;
    curves.innerUpper[k] = middle - halfGap;
    curves.innerLower[k] = middle + halfGap;
  }
  return openness;
}
