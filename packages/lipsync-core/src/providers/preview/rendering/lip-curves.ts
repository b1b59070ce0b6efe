import {
  innerLipsLower,
  innerLipsUpper,
  mouthCorners,
  outerLipsLower,
  outerLipsUpper,
} from '../../../face/landmarks.ts';
import { inHeadSpace, type HeadPose } from './head-pose.ts';
import { at } from '../../../image/math.ts';

/** Samples of each curve, evenly spaced from mouth corner to mouth corner. */
export const curveSamples = 49;

/**
 * A mouth as four curves in head space: how far down each lip edge lies, at even steps across from the left
 * corner (`left`) to the right one (`right`).
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

/** Landmarks of each edge from the left to the right outer corner. Inner edges end there too, because the lips touch beside the inner corners. */
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

const longestContour = 13;
const contourAcross = new Float64Array(longestContour);
const contourValue = new Float64Array(longestContour);
const smallestStep = 1e-3;

/** Slope at knot `index`: that of the line through its neighbors. */
function slopeAt(index: number, count: number): number {
  const before = Math.max(0, index - 1);
  const after = Math.min(count - 1, index + 1);
  return (at(contourValue, after) - at(contourValue, before)) / (at(contourAcross, after) - at(contourAcross, before));
}

/** Samples the contour in the scratch arrays evenly into `output`, by cubic pieces between its knots. */
function sampleContour(count: number, output: Float32Array): void {
  const left = at(contourAcross, 0);
  const right = at(contourAcross, count - 1);
  let knot = 0;
  for (let k = 0; k < output.length; k += 1) {
    const across = left + ((right - left) * k) / (output.length - 1);
    while (knot < count - 2 && at(contourAcross, knot + 1) < across) knot += 1;
    const length = at(contourAcross, knot + 1) - at(contourAcross, knot);
    const t = (across - at(contourAcross, knot)) / length;
    const t2 = t * t;
    const t3 = t2 * t;
    output[k] =
      (2 * t3 - 3 * t2 + 1) * at(contourValue, knot) +
      (t3 - 2 * t2 + t) * length * slopeAt(knot, count) +
      (3 * t2 - 2 * t3) * at(contourValue, knot + 1) +
      (t3 - t2) * length * slopeAt(knot + 1, count);
  }
}

/**
 * Samples one lip edge of the landmarks in head space: its distance down (axis 1) or its depth (axis 2).
 * Folds of the contour, as in a head turned far to the side, are straightened.
 */
export function sampleEdge(
  pose: HeadPose,
  points: Float32Array,
  edge: LipEdge,
  axis: 1 | 2,
  output: Float32Array,
): void {
  const landmarks = lipContours[edge];
  let previous = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < landmarks.length; k += 1) {
    const landmark = landmarks[k] ?? 0;
    const across = Math.max(inPicturePlane(pose, points, landmark, 0), previous + smallestStep);
    contourAcross[k] = across;
    contourValue[k] = axis === 1 ? inPicturePlane(pose, points, landmark, 1) : inHeadSpace(pose, points, landmark, 2);
    previous = across;
  }
  sampleContour(landmarks.length, output);
}

/**
 * A landmark in the plane that the head's across and down axes span in the picture: 0 across, 1 down.
 * Unlike head space it needs no depth, so it is exact for the picture.
 */
export function inPicturePlane(pose: HeadPose, points: Float32Array, landmark: number, axis: 0 | 1): number {
  const x = at(points, landmark * 3) - pose.originX;
  const y = at(points, landmark * 3 + 1) - pose.originY;
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  return axis === 0
    ? (x * pose.downY - y * pose.downX) / determinant
    : (y * pose.acrossX - x * pose.acrossY) / determinant;
}

/** Reads the mouth of the landmarks as it lies in the picture plane. */
export function readLipCurves(pose: HeadPose, points: Float32Array, curves: LipCurves): void {
  for (const edge of lipEdges) sampleEdge(pose, points, edge, 1, curves[edge]);
  curves.left = inPicturePlane(pose, points, leftCorner, 0);
  curves.right = inPicturePlane(pose, points, rightCorner, 0);
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

/** Largest distance between the inner lips, as a share of the mouth's width. */
export function openingOf(curves: LipCurves): number {
  let largest = 0;
  for (let k = 0; k < curveSamples; k += 1)
    largest = Math.max(largest, at(curves.innerLower, k) - at(curves.innerUpper, k));
  return largest / Math.max(smallestStep, curves.right - curves.left);
}
