import { innerLipsLower, innerLipsUpper, mouthCorners } from '../../packages/lipsync-core/src/face/landmarks.ts';

/** Pairs of opposite landmarks over the middle of the inner lips; those that `measureLips` takes, too. */
const middlePairs = [3, 4, 5, 6, 7] as const;

/**
 * Mean gap between the inner lips as the picture shows it: pixels square to the line from corner to corner. A landmark's depth is
 * a guess of the model; where it guesses the lower lip behind the upper one, a gap taken in three dimensions never closes.
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
