import type { HeadPose } from './head-pose.ts';
import { createLipCurves, curveSamples, lipEdges, openingOf, type LipCurves } from './lip-curves.ts';
import { closeLips, depthLean, type NeutralMouth } from './mouth-reference.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';

/** What the mouth is to do in one output frame; the values of a `MouthCurve` at that frame. */
export interface MouthAim {
  readonly open: number;
  readonly wide: number;
  readonly closure: number;
  readonly voiced: number;
}

/** Where the mouth is to be, and what moves along with it. */
export interface MouthTarget {
  readonly curves: LipCurves;
  /** How far the chin goes down, head units; negative where the clip's own mouth was opener. */
  chinDrop: number;
  /** Middle of the mouth before it was opened: where the upper teeth hang. */
  readonly anchor: { across: number; down: number };
}

export function createMouthTarget(): MouthTarget {
  return { curves: createLipCurves(), chinDrop: 0, anchor: { across: 0, down: 0 } };
}

/** Proportions of a talking mouth, as shares of the closed mouth's width unless said otherwise. */
const shape = {
  /** Gap between the lips at the widest "ah". */
  largestGap: 0.42,
  /** Mouth width, head units, below which the gap shrinks no further: a jaw drops with the face, not with how narrow its mouth is. */
  narrowestForGap: 0.53,
  /** Share of the way open at which lips that were pressed together to close a gap have their full thickness again. */
  relaxedAt: 0.3,
  /** Share of the gap that the raised upper lip makes, and what spreading adds to it. */
  upperShare: 0.14,
  upperShareSpread: 0.12,
  /** What spreading and rounding leave of the gap. */
  gapSpread: 0.8,
  gapRound: 0.72,
  /** How far each corner goes out, goes in, and goes in as the jaw drops. */
  cornerSpread: 0.065,
  cornerRound: 0.11,
  cornerOpen: 0.03,
  /** Share of the jaw's way that the corners go down. */
  cornerDrop: 0.22,
  /** Share of the lower lip's way that the chin makes. */
  chinShare: 0.5,
  /** Share of the mouth next to each corner that stays shut, and what rounding adds. */
  shutEnd: 0.1,
  shutEndRound: 0.1,
  /** How much thicker rounded lips look, and what share of their thickness spread and pressed lips lose. */
  roundThickness: 0.028,
  spreadThinning: 0.14,
  pressThinning: 0.22,
} as const;

/** How far the clip's own mouth may differ from the resting one, as a share of its width, before it is brought back. */
const restTolerance = { from: 0.025, to: 0.09 } as const;

/** Weight of the middle of the mouth against its corners at each sample, for the lips' outer edges. */
const outerBell = Float32Array.from(
  { length: curveSamples },
  (_, k) => Math.sin((Math.PI * k) / (curveSamples - 1)) ** 0.9,
);

const posedNeutral = createLipCurves();
const resting = createLipCurves();
const relaxed = createLipCurves();

/** The neutral mouth as it lies in the picture plane of this pose. */
export function poseNeutral(neutral: NeutralMouth, pose: HeadPose, output: LipCurves): void {
  const lean = depthLean(pose);
  output.left = neutral.curves.left + neutral.cornerDepthLeft * lean.across;
  output.right = neutral.curves.right + neutral.cornerDepthRight * lean.across;
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) {
      output[edge][k] = at(neutral.curves[edge], k) + at(neutral.depth[edge], k) * lean.down;
    }
  }
}

/** Root mean square distance of two closed mouths. */
function distance(left: LipCurves, right: LipCurves): number {
  let squares = ((left.left - right.left) ** 2 + (left.right - right.right) ** 2) * curveSamples;
  for (let k = 0; k < curveSamples; k += 1) {
    squares += (at(left.outerUpper, k) - at(right.outerUpper, k)) ** 2;
    squares += (at(left.innerUpper, k) - at(right.innerUpper, k)) ** 2;
    squares += (at(left.outerLower, k) - at(right.outerLower, k)) ** 2;
  }
  return Math.sqrt(squares / (5 * curveSamples));
}

function mixCurves(from: Readonly<LipCurves>, to: Readonly<LipCurves>, share: number, output: LipCurves): void {
  output.left = mix(from.left, to.left, share);
  output.right = mix(from.right, to.right, share);
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) output[edge][k] = mix(at(from[edge], k), at(to[edge], k), share);
  }
}

/** Share of the full gap at `position` (0–1 across the mouth): 0 in the shut ends, 1 in the middle. */
function gapProfile(position: number, shutEnd: number, spread: number): number {
  const x = (position - shutEnd) / (1 - 2 * shutEnd);
  if (x <= 0 || x >= 1) return 0;
  return (1 - Math.abs(2 * x - 1) ** (2 + spread)) ** 0.8;
}

/** Opens, widens and rounds closed lips in place. Returns how far the chin goes down. */
function deform(curves: LipCurves, width: number, aim: MouthAim): number {
  const closure = clamp(aim.closure, 0, 1);
  const spread = clamp(aim.wide, 0, 1);
  const round = clamp(-aim.wide, 0, 1);
  const gap =
    Math.max(width, shape.narrowestForGap) *
    shape.largestGap *
    clamp(aim.open, 0, 1) *
    (1 - closure) *
    mix(1, shape.gapSpread, spread) *
    mix(1, shape.gapRound, round);
  const upperShare = shape.upperShare + shape.upperShareSpread * spread;
  const raise = gap * upperShare;
  const drop = gap - raise;
  const corner =
    width * (shape.cornerSpread * spread - shape.cornerRound * round) -
    shape.cornerOpen * width * clamp(aim.open, 0, 1);
  const shutEnd = shape.shutEnd + shape.shutEndRound * round;
  const thicken = width * shape.roundThickness * round;
  const thin = shape.spreadThinning * spread + shape.pressThinning * closure;
  for (let k = 0; k < curveSamples; k += 1) {
    const profile = gapProfile(k / (curveSamples - 1), shutEnd, spread);
    const bell = at(outerBell, k);
    const seam = at(curves.innerUpper, k);
    const cornerDrop = drop * shape.cornerDrop * (1 - bell);
    const upperThickness = (seam - at(curves.outerUpper, k)) * (1 - thin) + thicken * bell;
    const lowerThickness = (at(curves.outerLower, k) - seam) * (1 - thin) + thicken * bell;
    curves.innerUpper[k] = seam - raise * profile + cornerDrop;
    curves.innerLower[k] = seam + drop * profile + cornerDrop;
    curves.outerUpper[k] = Math.min(
      seam - raise * mix(profile, bell, 0.5) * 0.85 + cornerDrop - upperThickness,
      at(curves.innerUpper, k),
    );
    curves.outerLower[k] = Math.max(
      seam + drop * mix(profile, bell, 0.5) * 0.96 + cornerDrop + lowerThickness,
      at(curves.innerLower, k),
    );
  }
  curves.left -= corner;
  curves.right += corner;
  return drop * shape.chinShare;
}

/** The clip's own lips in one frame. */
interface ClipLips {
  /** As the landmarks show them. */
  readonly shown: Readonly<LipCurves>;
  /** The part of them that travels: without the edges that may carry teeth or dark. */
  readonly source: Readonly<LipCurves>;
}

/**
 * The lips brought together: pressed a little while the mouth is to be closed, so that what travels of them covers the gap,
 * and as thick as they are shown once it is to be open.
 */
function restLips({ shown, source }: ClipLips, open: number): void {
  closeLips(source, resting);
  closeLips(shown, relaxed);
  relaxed.left = source.left;
  relaxed.right = source.right;
  mixCurves(resting, relaxed, smoothStep(0, shape.relaxedAt, open), resting);
}

/**
 * The mouth this frame is to show: the speaker's own closed mouth at this pose, deformed as `aim` says, and
 * brought in by `share` (0 leaves `lips.source` as it is, 1 replaces it). Small differences between the frame's
 * own mouth and the neutral one are kept, so that noise of the landmarks does not move the picture; an opening that is always
 * there is such a difference, too.
 */
export function aimMouth(
  neutral: NeutralMouth,
  pose: HeadPose,
  lips: ClipLips,
  aim: MouthAim,
  share: number,
  target: MouthTarget,
): void {
  const { shown, source } = lips;
  restLips(lips, clamp(aim.open, 0, 1));
  poseNeutral(neutral, pose, posedNeutral);
  const opening = openingOf(source) * (1 - neutral.neverClosed);
  const unrest = Math.max(distance(resting, posedNeutral) / neutral.width, opening / 2);
  mixCurves(resting, posedNeutral, smoothStep(restTolerance.from, restTolerance.to, unrest), target.curves);
  const chinOfRest = (lowestPoint(target.curves) - lowestPoint(resting)) * shape.chinShare;
  const chinOfSource = openingOf(shown) * (shown.right - shown.left) * (1 - closingTaken) * shape.chinShare;
  target.anchor.across = (target.curves.left + target.curves.right) / 2;
  target.anchor.down = at(target.curves.innerUpper, (curveSamples - 1) / 2);
  const drop = deform(target.curves, neutral.width, aim);
  target.chinDrop = (drop + chinOfRest - chinOfSource) * share;
  mixCurves(source, target.curves, share, target.curves);
}

/** Share of the source's opening that its upper lip made, which the chin did not. */
const closingTaken = 0.25;

/** Lower edge of the lower lip in the middle. */
function lowestPoint(curves: Readonly<LipCurves>): number {
  return at(curves.outerLower, (curveSamples - 1) / 2);
}
