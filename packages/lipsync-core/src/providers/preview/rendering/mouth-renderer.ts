import type { SilenceMode } from '../../../contract/index.ts';
import { landmarkCount, type FaceFrame } from '../../../face/face-types.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import type { Picture } from '../../../image/planes.ts';
import { measureSkinLuma, neutralChroma, type Color } from './face-colors.ts';
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
import { lipSampler, refineInnerLips } from './lip-edges.ts';
import { paintInterior, type MouthInterior } from './mouth-interior.ts';
import type { MouthReference } from './mouth-reference.ts';
import { MouthTarget, type MouthShape } from './mouth-target.ts';
import type { NeutralMouth } from './neutral-mouth.ts';
import { updateLipLineExtent, type LipLine } from './row-warp.ts';
import { extractInterior } from './donor-interior.ts';
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
const inset = {
  ofMouth: 0.035,
  ofLip: 0.35,
  ofLipAtCorner: 0.8,
  corner: 0.055,
  cornerOpen: 0.15,
  widest: 0.35,
} as const;
/**
 * Growth of all edges around the corners, relative to the mouth's width, and the part of the mouth next to each corner
 * in which it decays. It takes in the dark of open corners, which would stay beside a narrower mouth. Lips that are
 * hardly parted have none: there it would cut the line of the corner from the mouth.
 */
const cornerGrowth = { ofMouth: 0.016, until: 0.25, fromOpening: 0.055, toOpening: 0.085 } as const;
/**
 * Openings between which the own interior counts as visible, and its ratios to the wanted one over which it replaces the
 * drawn one. It is used where the clip opens clearly wider: at about the same opening, which is frequent, teeth of both
 * would shine through each other.
 */
const ownOpening = { least: 0.08, ample: 0.14, from: 1.2, to: 1.4 } as const;
/**
 * Opening relative to the clip's own one from which the lower teeth of the clip begin to show. In a narrower one the
 * upper teeth hide them.
 */
const jawShown = { from: 0.3, to: 0.7 } as const;
const featherOfMouth = 0.014;
const featherOfEdge = 0.9;
/** Height of a blurred edge between dark and teeth. */
const edgeBlurPx = 2.5;
const smallestFeatherPx = 0.8;
const creaseOfMouth = 0.016;
const strongestCrease = 0.4;
/** Weaker effects are skipped. */
const smallestStrength = 1 / 256;
const gainLimits = { low: 0.4, high: 2 } as const;
/** A flash: skin that is brighter than usual by this factor, and this luma, hides the interior of the mouth. */
const overexposed = { brighter: { from: 1.15, to: 1.35 }, luma: { from: 205, to: 228 } } as const;

/**
 * Draws a speaking mouth into the pictures of one clip. Keeps memory between frames, so one renderer serves one thread.
 */
export class MouthRenderer {
  readonly #neutral: NeutralMouth;
  readonly #silenceMode: SilenceMode;
  readonly #edgeWidth: number;
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
    this.#edgeWidth = reference.edgeWidth;
    this.#interior = createInterior(reference);
    this.#target = new MouthTarget(reference.neutral, this.#pose);
    this.#line = {
      curves: this.#target.curves,
      top: 0,
      bottom: 0,
      featherPx: 1,
      creaseStrength: 0,
      creaseWidthPx: 1,
      jawShown: 1,
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
    if (openness > 0) refineInnerLips(lipSampler(picture, pose), source, edgeBlurPx / pose.scale);
    const shownOpening = openingOf(source);
    insetInnerLips(source, openness);
    target.update({ shown, source }, this.#silenceMode === 'close' ? closedInPauses(shape) : shape, strength);
    if (!this.#field.update(points, source, target, picture)) return 0;
    const skinLuma = measureSkinLuma(picture, points);
    const brightness = skinLuma / this.#interior.skinLuma;
    const { brighter, luma } = overexposed;
    const overexposure = smoothStep(brighter.from, brighter.to, brightness) * smoothStep(luma.from, luma.to, skinLuma);
    this.#updateLine(strength * openness * (1 - overexposure));
    const targetOpening = openingOf(target.curves);
    this.#line.jawShown = smoothStep(jawShown.from, jawShown.to, targetOpening / Math.max(shownOpening, 0.01));
    const drawn = strength * (1 - ownInterior(shownOpening, targetOpening));
    const gain = clamp(brightness, gainLimits.low, gainLimits.high);
    return this.#compositor.draw(picture, { anchor: target.anchor, strength: drawn, gain, skinLuma, overexposure });
  }

  #updateLine(creaseFactor: number): void {
    const line = this.#line;
    const mouthPx = this.#neutral.width * this.#pose.scale;
    const edgePx = this.#edgeWidth * this.#pose.scale;
    line.featherPx = Math.max(smallestFeatherPx, mouthPx * featherOfMouth, edgePx * featherOfEdge);
    line.creaseWidthPx = Math.max(smallestFeatherPx, mouthPx * creaseOfMouth);
    line.creaseStrength = strongestCrease * creaseFactor * smoothStep(0.06, 0, openingOf(line.curves));
    updateLipLineExtent(line, this.#pose);
  }
}

/** A painted interior, replaced by what the clip shows of the speaker's own. */
function createInterior({ neutral, colors, donor, edgeWidth }: MouthReference): MouthInterior {
  const painted = paintInterior(colors, { mouthWidth: neutral.width, edgeWidth });
  const own = donor === undefined ? undefined : extractInterior(donor, neutral);
  if (own === undefined) return painted;
  const gain = colors.skin.luma / own.skinLuma;
  for (const { luma } of [own.upper, ...(own.lower ? [own.lower] : [])])
    for (let index = 0; index < luma.length; index += 1) luma[index] = at(luma, index) * gain;
  const luma = Math.min(painted.cavity.luma, own.cavity.luma * gain);
  const cavity = darken(own.cavity, luma / Math.max(1, own.cavity.luma * gain), luma);
  return { ...painted, upper: own.upper, lower: own.lower ?? painted.lower, cavity };
}

/** The same hue with less light: chroma falls with luma, or the dark of a laugh, which is a lit red, would glow. */
function darken({ cb, cr }: Color, light: number, luma: number): Color {
  return { luma, cb: mix(neutralChroma, cb, light), cr: mix(neutralChroma, cr, light) };
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
  const opening = openingOf(curves);
  const most = width * inset.ofMouth * openness;
  const parted = openness * smoothStep(cornerGrowth.fromOpening, cornerGrowth.toOpening, opening);
  for (let k = 0; k < curveSamples; k += 1) {
    const fromCorner = Math.min(k, curveSamples - 1 - k) / (curveSamples - 1);
    const ofLip = mix(inset.ofLipAtCorner, inset.ofLip, smoothStep(0, 0.2, fromCorner));
    const upper = at(curves.innerUpper, k);
    const lower = at(curves.innerLower, k);
    curves.innerUpper[k] = upper - Math.min(most, (upper - at(curves.outerUpper, k)) * ofLip);
    curves.innerLower[k] = lower + Math.min(most, (at(curves.outerLower, k) - lower) * ofLip);
    const growth = width * cornerGrowth.ofMouth * parted * smoothStep(cornerGrowth.until, 0, fromCorner);
    curves.outerUpper[k] = at(curves.outerUpper, k) - growth;
    curves.innerUpper[k] = at(curves.innerUpper, k) - growth;
    curves.innerLower[k] = at(curves.innerLower, k) + growth;
    curves.outerLower[k] = at(curves.outerLower, k) + growth;
  }
  const corner = width * (inset.corner + inset.cornerOpen * Math.min(opening, inset.widest)) * openness;
  curves.left -= corner;
  curves.right += corner;
}

/** Fraction (0–1) of the clip's own interior in a frame: all of it when the clip shows clearly more than is needed. */
function ownInterior(shownOpening: number, targetOpening: number): number {
  const { least, ample, from, to } = ownOpening;
  return smoothStep(least, ample, shownOpening) * smoothStep(from, to, shownOpening / Math.max(targetOpening, least));
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
