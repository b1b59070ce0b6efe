import { leftEyeCorners, rightEyeCorners } from './landmark-groups.ts';

/** First of the five iris points of each eye: the middle, then right, above, left and below in the picture. */
const firstIrisPoint = { left: 468, right: 473 } as const;
/** An iris is about 11.7 mm wide, an eye about 29 mm from corner to corner. */
const radiusPerEyeWidth = 0.2;

/**
 * Puts the ten iris points into a mesh whose eye corners are known, in the middle of each eye and of average size. The
 * gaze is not measured: nothing in lip-sync depends on it, and a model for it would take longer than the whole mesh.
 */
export function placeIrises(points: Float32Array): void {
  placeIris(points, leftEyeCorners, firstIrisPoint.left);
  placeIris(points, rightEyeCorners, firstIrisPoint.right);
}

function placeIris(points: Float32Array, [outer, inner]: readonly [number, number], first: number): void {
  const at = (point: number, axis: number): number => points[point * 3 + axis] ?? 0;
  const across = at(inner, 0) - at(outer, 0);
  const down = at(inner, 1) - at(outer, 1);
  // Along the line of the eye, to the right of the picture in an upright head, whichever corner lies there.
  const sign = (outer === leftEyeCorners[0] ? 1 : -1) * radiusPerEyeWidth;
  const offsets = [
    [0, 0],
    [across, down],
    [down, -across],
    [-across, -down],
    [-down, across],
  ] as const;
  for (const [index, [x, y]] of offsets.entries()) {
    const target = (first + index) * 3;
    points[target] = (at(outer, 0) + at(inner, 0)) / 2 + x * sign;
    points[target + 1] = (at(outer, 1) + at(inner, 1)) / 2 + y * sign;
    points[target + 2] = (at(outer, 2) + at(inner, 2)) / 2;
  }
}
