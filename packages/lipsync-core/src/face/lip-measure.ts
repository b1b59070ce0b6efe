import { innerLipsLower, innerLipsUpper, leftEyeCorners, mouthCorners, rightEyeCorners } from './landmarks.ts';

/** Mouth dimensions relative to the distance between the eye centers. */
export interface LipMeasure {
  /** Mean gap between the inner lips in the middle of the mouth: about 0 when closed, never negative. */
  readonly opening: number;
  /** Distance between the outer corners of the mouth. */
  readonly width: number;
}

/** Indices of the inner lip points in the middle of the mouth. */
const middleIndices = [3, 4, 5, 6, 7] as const;

/**
 * Measures the lips of `landmarkCount × 3` landmark values. All distances are three-dimensional, so that a head turn
 * does not look like a narrower mouth.
 */
export function measureLips(points: Float32Array): LipMeasure {
  const eyeDistance = distance(midpoint(points, leftEyeCorners), midpoint(points, rightEyeCorners));
  const gaps = middleIndices.map((index) => innerGap(points, index));
  const [left, right] = mouthCorners.outer;
  return {
    opening: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length / eyeDistance,
    width: distance(pointAt(points, left), pointAt(points, right)) / eyeDistance,
  };
}

type Point = readonly [x: number, y: number, z: number];

/**
 * Gap at one pair of inner lip points. Overlapping lips count as closed; "down" is perpendicular to the line between
 * the corners.
 */
function innerGap(points: Float32Array, index: number): number {
  const upper = pointAt(points, innerLipsUpper[index] ?? 0);
  const lower = pointAt(points, innerLipsLower[index] ?? 0);
  const [leftX, leftY] = pointAt(points, mouthCorners.inner[0]);
  const [rightX, rightY] = pointAt(points, mouthCorners.inner[1]);
  const down = (rightX - leftX) * (lower[1] - upper[1]) - (rightY - leftY) * (lower[0] - upper[0]);
  return down > 0 ? distance(upper, lower) : 0;
}

function pointAt(points: Float32Array, index: number): Point {
  return [points[index * 3] ?? NaN, points[index * 3 + 1] ?? NaN, points[index * 3 + 2] ?? NaN];
}

function midpoint(points: Float32Array, [first, second]: readonly [number, number]): Point {
  const a = pointAt(points, first);
  const b = pointAt(points, second);
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2];
}

function distance(a: Point, b: Point): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}
