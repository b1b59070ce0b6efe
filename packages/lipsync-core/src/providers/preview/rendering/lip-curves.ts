import {
  innerLipsLower,
  innerLipsUpper,
  mouthCorners,
  outerLipsLower,
  outerLipsUpper,
} from '../../../face/landmarks.ts';
import { at } from '../../../image/math.ts';
import { toFacePlane, toHeadSpace, type HeadPose } from './head-pose.ts';

/** Samples per curve, evenly spaced from mouth corner to mouth corner. */
export const curveSamples = 49;

/**
 * Lip contours as four sampled functions: the coordinate down of each lip edge at even steps across, from the left
 * mouth corner (`left`) to the right one (`right`). Units of head space.
 */
export interface LipCurves {
  left: number;
  right: number;
  readonly outerUpper: Float32Array;
  readonly innerUpper: Float32Array;
  readonly innerLower: Float32Array;
  readonly outerLower: Float32Array;
}

export const lipEdges = ['outerUpper', 'innerUpper', 'innerLower', 'outerLower'] as const;
export type LipEdge = (typeof lipEdges)[number];

const [leftCorner, rightCorner] = mouthCorners.outer;

/**
 * Landmarks of each edge from the left to the right outer corner. Inner edges end there too, because the lips touch
 * beside the inner corners.
 */
export const lipContours: Readonly<Record<LipEdge, readonly number[]>> = {
  outerUpper: outerLipsUpper,
  innerUpper: [leftCorner, ...innerLipsUpper, rightCorner],
  innerLower: [leftCorner, ...innerLipsLower, rightCorner],
  outerLower: outerLipsLower,
};

export function createLipCurves(): LipCurves {
  return {
    left: 0,
    right: 0,
    outerUpper: new Float32Array(curveSamples),
    innerUpper: new Float32Array(curveSamples),
    innerLower: new Float32Array(curveSamples),
    outerLower: new Float32Array(curveSamples),
  };
}

export function copyLipCurves(from: Readonly<LipCurves>, to: LipCurves): void {
  to.left = from.left;
  to.right = from.right;
  for (const edge of lipEdges) to[edge].set(from[edge]);
}

/** Knots of the contour that is being sampled. */
const longestContour = 13;
const knotAcross = new Float64Array(longestContour);
const knotValue = new Float64Array(longestContour);
const smallestStep = 1e-3;

/** Samples the coordinate down of one lip edge in the face plane. */
function sampleEdge(pose: HeadPose, points: Float32Array, edge: LipEdge, output: Float32Array): void {
  const count = setKnots(pose, points, edge);
  const contour = lipContours[edge];
  for (let k = 0; k < count; k += 1) knotValue[k] = toFacePlane(pose, points, contour[k] ?? 0, 1);
  sampleKnots(count, output);
}

/** Samples the depth of one lip edge in head space. */
export function sampleEdgeDepth(pose: HeadPose, points: Float32Array, edge: LipEdge, output: Float32Array): void {
  const count = setKnots(pose, points, edge);
  const contour = lipContours[edge];
  for (let k = 0; k < count; k += 1) knotValue[k] = toHeadSpace(pose, points, contour[k] ?? 0, 2);
  sampleKnots(count, output);
}

/** Sets the knot positions, which are forced to ascend where the contour folds over, as in a head in profile. */
function setKnots(pose: HeadPose, points: Float32Array, edge: LipEdge): number {
  const contour = lipContours[edge];
  let previous = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < contour.length; k += 1) {
    previous = Math.max(toFacePlane(pose, points, contour[k] ?? 0, 0), previous + smallestStep);
    knotAcross[k] = previous;
  }
  return contour.length;
}

/** Samples the knots evenly by cubic Hermite interpolation with finite-difference slopes (Catmull-Rom). */
function sampleKnots(count: number, output: Float32Array): void {
  const left = at(knotAcross, 0);
  const right = at(knotAcross, count - 1);
  let knot = 0;
  for (let k = 0; k < output.length; k += 1) {
    const across = left + ((right - left) * k) / (output.length - 1);
    while (knot < count - 2 && at(knotAcross, knot + 1) < across) knot += 1;
    const length = at(knotAcross, knot + 1) - at(knotAcross, knot);
    const t = (across - at(knotAcross, knot)) / length;
    const t2 = t * t;
    const t3 = t2 * t;
    output[k] =
      (2 * t3 - 3 * t2 + 1) * at(knotValue, knot) +
      (t3 - 2 * t2 + t) * length * slopeAt(knot, count) +
      (3 * t2 - 2 * t3) * at(knotValue, knot + 1) +
      (t3 - t2) * length * slopeAt(knot + 1, count);
  }
}

/** Slope at a knot: that of the line through its neighbors. */
function slopeAt(knot: number, count: number): number {
  const before = Math.max(0, knot - 1);
  const after = Math.min(count - 1, knot + 1);
  return (at(knotValue, after) - at(knotValue, before)) / (at(knotAcross, after) - at(knotAcross, before));
}

/** Reads the lip curves of landmarks in the face plane. Overlapping edges are made to touch. */
export function readLipCurves(pose: HeadPose, points: Float32Array, curves: LipCurves): void {
  for (const edge of lipEdges) sampleEdge(pose, points, edge, curves[edge]);
  curves.left = toFacePlane(pose, points, leftCorner, 0);
  curves.right = toFacePlane(pose, points, rightCorner, 0);
  for (let k = 0; k < curveSamples; k += 1) {
    if (at(curves.innerLower, k) < at(curves.innerUpper, k)) {
      const middle = (at(curves.innerLower, k) + at(curves.innerUpper, k)) / 2;
      curves.innerUpper[k] = middle;
      curves.innerLower[k] = middle;
    }
    if (at(curves.outerUpper, k) > at(curves.innerUpper, k)) curves.outerUpper[k] = at(curves.innerUpper, k);
    if (at(curves.outerLower, k) < at(curves.innerLower, k)) curves.outerLower[k] = at(curves.innerLower, k);
  }
}

/** Largest distance between the inner lips, relative to the mouth's width. */
export function openingOf(curves: Readonly<LipCurves>): number {
  let largest = 0;
  for (let k = 0; k < curveSamples; k += 1)
    largest = Math.max(largest, at(curves.innerLower, k) - at(curves.innerUpper, k));
  return largest / Math.max(smallestStep, curves.right - curves.left);
}

/** Fraction of an opening that the upper lip closes. The rest is closed by the lower lip and the jaw. */
export const upperLipFraction = 0.25;

/** Writes the closed lips of `from` to `to`, which may be the same. The thickness of the lips is kept. */
export function closeLips(from: Readonly<LipCurves>, to: LipCurves): void {
  to.left = from.left;
  to.right = from.right;
  for (let k = 0; k < curveSamples; k += 1) {
    const upper = at(from.innerUpper, k);
    const gap = at(from.innerLower, k) - upper;
    const seam = upper + gap * upperLipFraction;
    to.outerUpper[k] = at(from.outerUpper, k) + gap * upperLipFraction;
    to.outerLower[k] = at(from.outerLower, k) - gap * (1 - upperLipFraction);
    to.innerUpper[k] = seam;
    to.innerLower[k] = seam;
  }
}
