import { innerLipsLower, innerLipsUpper, leftEyeCorners, mouthCorners, rightEyeCorners } from './landmark-groups.ts';

/** How a mouth stands, as shares of the distance between the eyes' middles (seen as if from the front). */
export interface LipMeasure {
  /** Mean gap between the inner lips over the middle of the mouth; about 0 when closed, never negative. */
  readonly opening: number;
  /** Distance between the outer corners of the mouth. */
  readonly width: number;
}

/**
 * Measures the lips in a mesh of `landmarkCount × 3` values. All distances are taken in three dimensions, so that a head
 * that turns does not look like a mouth that narrows.
 */
export function measureLips(points: Float32Array): LipMeasure {
  const eyes = distance(middle(points, leftEyeCorners), middle(points, rightEyeCorners));
  const gaps = [3, 4, 5, 6, 7].map((index) => innerGap(points, index));
  const [left, right] = mouthCorners.outer;
  return {
    opening: gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length / eyes,
    width: distance(pointAt(points, left), pointAt(points, right)) / eyes,
  };
}

type Point = readonly [x: number, y: number, z: number];

/** Lips that overlap are closed, not open by a negative amount; "down" is across the mouth, away from the nose. */
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

function middle(points: Float32Array, [first, second]: readonly [number, number]): Point {
  const a = pointAt(points, first);
  const b = pointAt(points, second);
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2];
}

function distance(a: Point, b: Point): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}
