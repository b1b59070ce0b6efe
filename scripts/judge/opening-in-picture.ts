import { innerLipsLower, innerLipsUpper, mouthCorners } from '../../packages/lipsync-core/src/face/landmarks.ts';

/** Pairs of opposite landmarks in the middle of the inner lips, as in `measureLips`. */
const middlePairs = [3, 4, 5, 6, 7] as const;

/**
 * Mean distance between the inner lips in the image plane, in pixels perpendicular to the line between the mouth
 * corners. Ignores the estimated depth: if the lower lip is estimated behind the upper one, a 3-D distance never
 * becomes 0.
 */
export function openingInPicture(points: Float32Array): number {
  const [left, right] = mouthCorners.inner;
  const alongX = coordinate(points, right, 0) - coordinate(points, left, 0);
  const alongY = coordinate(points, right, 1) - coordinate(points, left, 1);
  const gaps = middlePairs.map((pair) => {
    const upper = innerLipsUpper[pair] ?? 0;
    const lower = innerLipsLower[pair] ?? 0;
    const x = coordinate(points, lower, 0) - coordinate(points, upper, 0);
    const y = coordinate(points, lower, 1) - coordinate(points, upper, 1);
    return Math.max(0, alongX * y - alongY * x) / Math.hypot(alongX, alongY);
  });
  return gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
}

function coordinate(points: Float32Array, landmark: number, axis: 0 | 1): number {
  return points[landmark * 3 + axis] ?? NaN;
}
