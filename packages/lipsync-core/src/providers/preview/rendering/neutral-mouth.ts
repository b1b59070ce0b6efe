import { mouthCorners } from '../../../face/landmarks.ts';
import { at, clamp, medianInPlace, smoothStep } from '../../../image/math.ts';
import {
  createHeadPose,
  depthParallax,
  fitHeadPose,
  headRotation,
  toHeadSpace,
  type HeadPose,
  type HeadTemplate,
} from './head-pose.ts';
import {
  closeLips,
  createLipCurves,
  curveSamples,
  lipEdges,
  openingOf,
  readLipCurves,
  sampleEdgeDepth,
  type LipCurves,
  type LipEdge,
} from './lip-curves.ts';

/** The speaker's mouth at rest with closed lips, in head space. */
export interface NeutralMouth {
  readonly template: HeadTemplate;
  readonly curves: Readonly<LipCurves>;
  /** Depth along each lip edge. */
  readonly depth: Readonly<Record<LipEdge, Float32Array>>;
  readonly cornerDepthLeft: number;
  readonly cornerDepthRight: number;
  /** Distance between the corners. */
  readonly width: number;
  /** Opening, relative to the mouth's width, up to which landmarks of this speaker mean closed lips. */
  readonly closedOpening: number;
  /** Confidence, 0–1, that the lips are visibly open through the whole clip. */
  readonly openAtRest: number;
  /**
   * Gap, relative to the mouth's width, that remains when the lips close: above 0 for a mouth that laughs through the
   * whole clip, which cannot be closed without stretching the face.
   */
  readonly smallestGap: number;
}

/** The measured mouth of one frame. */
export interface MouthSample {
  /** Landmarks. */
  readonly points: Float32Array;
  /** Height of the gap that is visible between the lips, relative to the mouth's width. */
  readonly visibleGap: number;
}

/** Sine of the head rotation up to which a frame counts as frontal. */
const largestFrontalRotation = 0.45;
/** Fraction of the frames, beginning with the most closed one, of which the neutral mouth is the median. */
const closedFraction = 0.25;
const closedMargin = 0.01;
const closedLimits = { low: 0.03, talking: 0.07, still: 0.09 } as const;
/** Range of openings from which a mouth counts as talking. */
const talkingRange = 0.06;
/** Smallest opening of a clip up to which lips can be closed, and the fraction of what exceeds it that remains. */
const laugh = { from: 0.08, kept: 0.6, most: 0.15 } as const;
/** Visible gaps from which lips count as possibly and certainly open. */
const visibleGapRange = { from: 0.028, to: 0.038 } as const;

/** The neutral mouth of a set of frames, or undefined when no frame has a usable mouth. */
export function measureNeutralMouth(template: HeadTemplate, samples: readonly MouthSample[]): NeutralMouth | undefined {
  const mouths = samples.flatMap(({ points }) => posedMouth(template, points) ?? []);
  const frontal = mouths.filter((mouth) => mouth.rotation < largestFrontalRotation);
  const usable = (frontal.length > 0 ? frontal : mouths).toSorted((left, right) => left.opening - right.opening);
  const closed = usable.slice(0, Math.max(1, Math.ceil(usable.length * closedFraction)));
  if (closed.length === 0) return undefined;
  const median = (read: (mouth: PosedMouth) => number): number => medianInPlace(closed.map(read));
  const curves = createLipCurves();
  const depth = createLipCurves();
  curves.left = median((mouth) => mouth.curves.left);
  curves.right = median((mouth) => mouth.curves.right);
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) {
      curves[edge][k] = median((mouth) => at(mouth.curves[edge], k));
      depth[edge][k] = median((mouth) => at(mouth.depth[edge], k));
    }
  }
  closeLips(curves, curves);
  const width = curves.right - curves.left;
  if (!(width > 0)) return undefined;
  const openings = usable.map((mouth) => mouth.opening);
  const medianGap = medianInPlace(samples.map(({ visibleGap }) => visibleGap));
  return {
    template,
    curves,
    depth,
    cornerDepthLeft: median((mouth) => mouth.cornerDepths[0]),
    cornerDepthRight: median((mouth) => mouth.cornerDepths[1]),
    width,
    closedOpening: closedOpeningOf(openings),
    openAtRest: isTalking(openings) ? 0 : smoothStep(visibleGapRange.from, visibleGapRange.to, medianGap),
    smallestGap: clamp((rangeOf(openings).least - laugh.from) * laugh.kept, 0, laugh.most),
  };
}

/** The mouth of one frame in head space. */
interface PosedMouth {
  readonly curves: LipCurves;
  readonly depth: Readonly<Record<LipEdge, Float32Array>>;
  readonly cornerDepths: readonly [left: number, right: number];
  readonly opening: number;
  /** Sine of the angle between face and camera. */
  readonly rotation: number;
}

function posedMouth(template: HeadTemplate, points: Float32Array): PosedMouth | undefined {
  const pose = createHeadPose();
  if (!fitHeadPose(template, points, pose)) return undefined;
  const curves = createLipCurves();
  readLipCurves(pose, points, curves);
  const depth = createLipCurves();
  for (const edge of lipEdges) sampleEdgeDepth(pose, points, edge, depth[edge]);
  const [left, right] = mouthCorners.outer;
  const cornerDepths = [toHeadSpace(pose, points, left, 2), toHeadSpace(pose, points, right, 2)] as const;
  removeParallax(curves, depth, cornerDepths, pose);
  const { yaw, pitch } = headRotation(pose);
  return { curves, depth, cornerDepths, opening: openingOf(curves), rotation: Math.hypot(yaw, pitch) };
}

/** Converts curves from the face plane to head space by subtracting the parallax of their depth. */
function removeParallax(
  curves: LipCurves,
  depth: Readonly<Record<LipEdge, Float32Array>>,
  corners: readonly [left: number, right: number],
  pose: HeadPose,
): void {
  const parallax = depthParallax(pose);
  curves.left -= corners[0] * parallax.across;
  curves.right -= corners[1] * parallax.across;
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1)
      curves[edge][k] = at(curves[edge], k) - at(depth[edge], k) * parallax.down;
  }
}

/** Writes the neutral mouth as it appears in the face plane of a pose. */
export function poseNeutral(neutral: NeutralMouth, pose: HeadPose, output: LipCurves): void {
  const parallax = depthParallax(pose);
  output.left = neutral.curves.left + neutral.cornerDepthLeft * parallax.across;
  output.right = neutral.curves.right + neutral.cornerDepthRight * parallax.across;
  for (const edge of lipEdges) {
    for (let k = 0; k < curveSamples; k += 1) {
      output[edge][k] = at(neutral.curves[edge], k) + at(neutral.depth[edge], k) * parallax.down;
    }
  }
}

/** Minimum and 0.9 quantile of ascending openings. */
function rangeOf(openings: readonly number[]): { readonly least: number; readonly most: number } {
  const least = openings[0] ?? 0;
  return { least, most: openings[Math.floor((openings.length - 1) * 0.9)] ?? least };
}

function isTalking(openings: readonly number[]): boolean {
  const { least, most } = rangeOf(openings);
  return most - least >= talkingRange;
}

/**
 * The opening that landmarks report for closed lips, which differs between speakers: the smallest one of a talking
 * mouth. A mouth that hardly moves has one opening throughout, because following its landmarks would only add jitter;
 * whether it is open is measured in the picture (`openAtRest`). `openings` ascend.
 */
function closedOpeningOf(openings: readonly number[]): number {
  const { least, most } = rangeOf(openings);
  if (!isTalking(openings)) return clamp(most + closedMargin, closedLimits.low, closedLimits.still);
  return clamp(least + closedMargin, closedLimits.low, closedLimits.talking);
}
