import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import type { HeadPose } from './head-pose.ts';
import {
  closeLips,
  createLipCurves,
  curveSamples,
  lipEdges,
  openingOf,
  upperLipFraction,
  type LipCurves,
} from './lip-curves.ts';
import { poseNeutral, type NeutralMouth } from './neutral-mouth.ts';

/** The wanted mouth shape of one output frame: the values of a `MouthCurve` at that frame. */
export interface MouthShape {
  readonly open: number;
  readonly wide: number;
  readonly closure: number;
  readonly voiced: number;
}

/** Proportions of a talking mouth, relative to the width of the closed mouth unless stated otherwise. */
const proportions = {
  /** Gap between the lips at the widest "ah". */
  largestGap: 0.42,
  /**
   * Mouth width in head units below which the gap shrinks no further, because the jaw scales with the face and not with
   * the mouth.
   */
  narrowestForGap: 0.53,
  /** Fraction of the opening at which lips that were compressed to close a gap have their full thickness again. */
  relaxedAt: 0.3,
  /** Fraction of the gap that the raised upper lip contributes, and what spreading adds to it. */
  upperFraction: 0.14,
  upperFractionSpread: 0.12,
  /** Factors of the gap of spread and rounded lips. */
  gapSpread: 0.8,
  gapRound: 0.72,
  /** Displacement of each corner: outwards when spread, inwards when rounded, and inwards as the jaw drops. */
  cornerSpread: 0.065,
  cornerRound: 0.11,
  cornerOpen: 0.03,
  /** Fraction of the jaw's drop that lowers the corners. */
  cornerDrop: 0.22,
  /** Fraction of the lower lip's drop that moves the chin. */
  chinFraction: 0.5,
  /** The same where the clip's own open mouth closes, so that a beard or a wrinkled chin is not stretched. */
  closingChinFraction: 0.7,
  /** Fraction of the mouth next to each corner that stays closed, and what rounding adds. */
  closedEnd: 0.1,
  closedEndRound: 0.1,
  /** Exponents of the gap's profile and of the weight of the middle. Below 1, the curve is flatter in the middle. */
  gapExponent: 0.8,
  middleExponent: 0.9,
  /** Fraction by which the outer edges move with the middle of the mouth rather than with the gap beside them. */
  outerSmoothing: 0.5,
  /** Fractions of the movement of each inner edge that its outer edge follows; the lip is compressed by the rest. */
  outerUpperFollow: 0.85,
  outerLowerFollow: 0.96,
  /** Thickness that rounding adds, and fraction of the thickness that spread and pressed lips lose. */
  roundThickness: 0.028,
  spreadThinning: 0.14,
  pressThinning: 0.22,
} as const;

/**
 * Distance of the clip's own mouth from the neutral one, relative to its width, over which the neutral one takes over.
 */
const restTolerance = { from: 0.025, to: 0.09 } as const;

/**
 * How far the clip's own expression lets the new mouth leave it, relative to the width of the own mouth. Beyond it the
 * skin around the mouth would be stretched visibly.
 */
const expressionLimits = {
  /** Displacement of a corner, inwards or up and down, up to which the neutral mouth replaces the own one. */
  corner: 0.06,
  /** Largest displacement of a corner inwards. */
  inward: 0.075,
} as const;

/** Weight of the middle of the mouth against its corners per sample, for the outer lip edges. */
const middleWeight = Float32Array.from(
  { length: curveSamples },
  (_, k) => Math.sin((Math.PI * k) / (curveSamples - 1)) ** proportions.middleExponent,
);

/** The clip's own lips in one frame. */
export interface ClipLips {
  /** As given by the landmarks. */
  readonly shown: Readonly<LipCurves>;
  /** The part of them that is warped: without the inner edges that may show teeth or dark. */
  readonly source: Readonly<LipCurves>;
}

/**
 * The mouth that a frame is to show, and what moves along with it. Reuses its buffers; a result is valid until the next
 * update.
 */
export class MouthTarget {
  readonly curves = createLipCurves();
  /** Displacement of the chin in head units; negative when the clip's own mouth is open wider. */
  chinDrop = 0;
  /** Middle of the mouth before it is opened: the position of the upper teeth. */
  readonly anchor = { across: 0, down: 0 };
  readonly #neutral: NeutralMouth;
  readonly #pose: HeadPose;
  readonly #posedNeutral = createLipCurves();
  readonly #resting = createLipCurves();
  readonly #relaxed = createLipCurves();

  /** `pose` is read at every update. */
  constructor(neutral: NeutralMouth, pose: HeadPose) {
    this.#neutral = neutral;
    this.#pose = pose;
  }

  /**
   * Computes the target from the speaker's closed mouth in the current pose, deformed to `shape`, and blends it with
   * `lips.source` by `strength` (0–1). Small differences between the frame's own mouth and the neutral one are kept, so
   * that landmark jitter does not move the picture. An opening that is always there counts as such a difference.
   */
  update(lips: ClipLips, shape: MouthShape, strength: number): void {
    const { shown, source } = lips;
    const { curves, anchor } = this;
    const neutral = this.#neutral;
    const resting = this.#resting;
    this.#closeLips(lips, clamp(shape.open, 0, 1));
    poseNeutral(neutral, this.#pose, this.#posedNeutral);
    const opening = openingOf(source) * (1 - neutral.openAtRest);
    const difference = Math.max(closedDistance(resting, this.#posedNeutral) / neutral.width, opening / 2);
    const neutralFraction = smoothStep(restTolerance.from, restTolerance.to, difference);
    mixCurves(resting, this.#posedNeutral, neutralFraction, curves);
    anchor.across = (curves.left + curves.right) / 2;
    anchor.down = at(curves.innerUpper, (curveSamples - 1) / 2);
    keepCorners(curves, resting, allowedFraction(resting, this.#posedNeutral));
    const { chinFraction, closingChinFraction } = proportions;
    const chinOfRest = (lowestPoint(curves) - lowestPoint(resting)) * chinFraction;
    const shownWidth = shown.right - shown.left;
    const shownOpening = openingOf(shown);
    const chinOfSource = shownOpening * shownWidth * (1 - upperLipFraction) * closingChinFraction;
    const chinDrop = deform(curves, { width: neutral.width, keptGap: neutral.smallestGap * shownWidth }, shape);
    const inward = expressionLimits.inward * shownWidth;
    curves.left = Math.min(curves.left, shown.left + inward);
    curves.right = Math.max(curves.right, shown.right - inward);
    this.chinDrop = (chinDrop + chinOfRest - chinOfSource) * strength;
    mixCurves(source, curves, strength, curves);
  }

  /**
   * Closes the lips: slightly compressed while the mouth is to be closed, so that the warped part covers the gap, and
   * with their shown thickness once it is to be open.
   */
  #closeLips({ shown, source }: ClipLips, open: number): void {
    const resting = this.#resting;
    const relaxed = this.#relaxed;
    closeLips(source, resting);
    closeLips(shown, relaxed);
    relaxed.left = source.left;
    relaxed.right = source.right;
    mixCurves(resting, relaxed, smoothStep(0, proportions.relaxedAt, open), resting);
  }
}

/** Squares per sample: two corners and three edges, because the inner edges of a closed mouth coincide. */
const squaresPerSample = 5;

/** Root mean square distance between two closed mouths. */
function closedDistance(first: LipCurves, second: LipCurves): number {
  let squares = ((first.left - second.left) ** 2 + (first.right - second.right) ** 2) * curveSamples;
  for (let k = 0; k < curveSamples; k += 1) {
    squares += (at(first.outerUpper, k) - at(second.outerUpper, k)) ** 2;
    squares += (at(first.innerUpper, k) - at(second.innerUpper, k)) ** 2;
    squares += (at(first.outerLower, k) - at(second.outerLower, k)) ** 2;
  }
  return Math.sqrt(squares / (squaresPerSample * curveSamples));
}

/** Moves the corners of `curves` back towards those of the own mouth, so that only the allowed fraction remains. */
function keepCorners(curves: LipCurves, own: Readonly<LipCurves>, allowed: number): void {
  const last = curveSamples - 1;
  const kept = 1 - allowed;
  if (kept === 0) return;
  const leftDown = (at(own.innerUpper, 0) - at(curves.innerUpper, 0)) * kept;
  const rightDown = (at(own.innerUpper, last) - at(curves.innerUpper, last)) * kept;
  curves.left = mix(curves.left, own.left, kept);
  curves.right = mix(curves.right, own.right, kept);
  for (const edge of lipEdges) {
    for (let k = 0; k <= last; k += 1)
      curves[edge][k] = at(curves[edge], k) + leftDown * (1 - k / last) ** 2 + rightDown * (k / last) ** 2;
  }
}

/** Fraction (0–1) of the way from the own closed mouth to the neutral one that its expression allows. */
function allowedFraction(own: LipCurves, neutral: LipCurves): number {
  const last = curveSamples - 1;
  const left = cornerDistance(neutral.left - own.left, at(neutral.innerUpper, 0) - at(own.innerUpper, 0));
  const right = cornerDistance(own.right - neutral.right, at(neutral.innerUpper, last) - at(own.innerUpper, last));
  const distance = Math.max(left, right) / (own.right - own.left);
  return distance > expressionLimits.corner ? expressionLimits.corner / distance : 1;
}

/** Movement to outside counts as none: widening a mouth leaves no trace of the own one. */
function cornerDistance(inward: number, down: number): number {
  return Math.hypot(Math.max(0, inward), down);
}

function mixCurves(from: Readonly<LipCurves>, to: Readonly<LipCurves>, fraction: number, output: LipCurves): void {
  output.left = mix(from.left, to.left, fraction);
  output.right = mix(from.right, to.right, fraction);
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) output[edge][k] = mix(at(from[edge], k), at(to[edge], k), fraction);
  }
}

/** The middle of the lower edge of the lower lip. */
function lowestPoint(curves: Readonly<LipCurves>): number {
  return at(curves.outerLower, (curveSamples - 1) / 2);
}

/** Fraction of the full gap at `position` (0–1 across the mouth): 0 in the closed ends, 1 in the middle. */
function gapProfile(position: number, closedEnd: number, spread: number): number {
  const x = (position - closedEnd) / (1 - 2 * closedEnd);
  if (x <= 0 || x >= 1) return 0;
  return (1 - Math.abs(2 * x - 1) ** (2 + spread)) ** proportions.gapExponent;
}

/** The mouth that is deformed: its neutral width, and the gap between the lips that remains when they close. */
interface DeformedMouth {
  readonly width: number;
  readonly keptGap: number;
}

/** Opens, spreads and rounds closed lips in place. Returns the drop of the chin. */
function deform(curves: LipCurves, { width, keptGap }: DeformedMouth, shape: MouthShape): number {
  const closure = clamp(shape.closure, 0, 1);
  const spread = clamp(shape.wide, 0, 1);
  const round = clamp(-shape.wide, 0, 1);
  const open = clamp(shape.open, 0, 1);
  const largestGap = Math.max(width, proportions.narrowestForGap) * proportions.largestGap;
  const spokenGap =
    largestGap * open * (1 - closure) * mix(1, proportions.gapSpread, spread) * mix(1, proportions.gapRound, round);
  const gap = mix(spokenGap, largestGap, clamp(keptGap / largestGap, 0, 1));
  const raise = gap * (proportions.upperFraction + proportions.upperFractionSpread * spread);
  const lowerLipDrop = gap - raise;
  const corner =
    width * (proportions.cornerSpread * spread - proportions.cornerRound * round) -
    proportions.cornerOpen * width * open;
  const closedEnd = proportions.closedEnd + proportions.closedEndRound * round;
  const thickening = width * proportions.roundThickness * round;
  const thinning = proportions.spreadThinning * spread + proportions.pressThinning * closure;
  for (let k = 0; k < curveSamples; k += 1) {
    const profile = gapProfile(k / (curveSamples - 1), closedEnd, spread);
    const middle = at(middleWeight, k);
    const seam = at(curves.innerUpper, k);
    const cornerDrop = lowerLipDrop * proportions.cornerDrop * (1 - middle);
    const upperThickness = (seam - at(curves.outerUpper, k)) * (1 - thinning) + thickening * middle;
    const lowerThickness = (at(curves.outerLower, k) - seam) * (1 - thinning) + thickening * middle;
    curves.innerUpper[k] = seam - raise * profile + cornerDrop;
    curves.innerLower[k] = seam + lowerLipDrop * profile + cornerDrop;
    curves.outerUpper[k] = Math.min(
      seam -
        raise * mix(profile, middle, proportions.outerSmoothing) * proportions.outerUpperFollow +
        cornerDrop -
        upperThickness,
      at(curves.innerUpper, k),
    );
    curves.outerLower[k] = Math.max(
      seam +
        lowerLipDrop * mix(profile, middle, proportions.outerSmoothing) * proportions.outerLowerFollow +
        cornerDrop +
        lowerThickness,
      at(curves.innerLower, k),
    );
  }
  curves.left -= corner;
  curves.right += corner;
  return lowerLipDrop * proportions.chinFraction;
}
