import { faceSides, leftEyeCorners, mouthCorners, noseTip, rightEyeCorners, rigidPoints } from './landmarks.ts';

/** Landmarks decomposed into the head's similarity transform and the face's shape in a normalized frame. */
export interface PosedFace {
  readonly x: number;
  readonly y: number;
  /** Natural logarithm of the head's size in pixels. */
  readonly logSize: number;
  /** In-plane rotation, radians. */
  readonly roll: number;
  /** Landmarks relative to (x, y), rotated upright, in units of the size. */
  readonly shape: Float32Array;
}

/**
 * Decomposes landmarks by their rigid points. The size is the root mean square distance of these from their centroid.
 */
export function decomposePose(points: Float32Array): PosedFace {
  const x = mean(rigidPoints, (index) => px(points, index));
  const y = mean(rigidPoints, (index) => py(points, index));
  const size = Math.sqrt(mean(rigidPoints, (index) => (px(points, index) - x) ** 2 + (py(points, index) - y) ** 2));
  const roll = rollOf(points);
  const cosine = Math.cos(roll) / size;
  const sine = Math.sin(roll) / size;
  const shape = new Float32Array(points.length);
  for (let index = 0; index < points.length; index += 3) {
    const across = (points[index] ?? 0) - x;
    const down = (points[index + 1] ?? 0) - y;
    shape[index] = across * cosine + down * sine;
    shape[index + 1] = down * cosine - across * sine;
    shape[index + 2] = (points[index + 2] ?? 0) / size;
  }
  return { x, y, logSize: Math.log(size), roll, shape };
}

/** The landmarks of a pose and a shape; the inverse of `decomposePose`. */
export function composePose({ x, y, logSize, roll, shape }: PosedFace): Float32Array {
  const size = Math.exp(logSize);
  const cosine = Math.cos(roll) * size;
  const sine = Math.sin(roll) * size;
  const points = new Float32Array(shape.length);
  for (let index = 0; index < shape.length; index += 3) {
    const across = shape[index] ?? 0;
    const down = shape[index + 1] ?? 0;
    points[index] = x + across * cosine - down * sine;
    points[index + 1] = y + across * sine + down * cosine;
    points[index + 2] = (shape[index + 2] ?? 0) * size;
  }
  return points;
}

/** In-plane rotation in radians, from all four eye corners, so that an error of one corner has little effect. */
export function rollOf(points: Float32Array): number {
  const [outerLeft, innerLeft] = leftEyeCorners;
  const [outerRight, innerRight] = rightEyeCorners;
  const across = px(points, outerRight) + px(points, innerRight) - px(points, outerLeft) - px(points, innerLeft);
  const down = py(points, outerRight) + py(points, innerRight) - py(points, outerLeft) - py(points, innerLeft);
  return Math.atan2(down, across);
}

/**
 * How far a head is turned to a side: 0 when the tip of the nose is in the middle of the face, 1 when it reaches the
 * outline, more beyond it. The depth of the landmarks is not used, because it stops growing at a turn of about 45°.
 */
export function turnOf(points: Float32Array): number {
  const [left, right] = faceSides;
  const [acrossX, acrossY] = [px(points, right) - px(points, left), py(points, right) - py(points, left)];
  const along = (px(points, noseTip) - px(points, left)) * acrossX + (py(points, noseTip) - py(points, left)) * acrossY;
  return 2 * Math.abs(along / Math.max(1e-6, acrossX ** 2 + acrossY ** 2) - 0.5);
}

/** Distance of the outer corners of the mouth in the picture. */
export function mouthWidthOf(points: Float32Array): number {
  return distance(points, ...mouthCorners.outer);
}

/** Difference of two angles in −π…π. */
export function angleDifference(to: number, from: number): number {
  return Math.atan2(Math.sin(to - from), Math.cos(to - from));
}

function mean(indices: readonly number[], value: (index: number) => number): number {
  return indices.reduce((sum, index) => sum + value(index), 0) / indices.length;
}

/** Distance of two landmarks in the picture. */
function distance(points: Float32Array, first: number, second: number): number {
  return Math.hypot(px(points, first) - px(points, second), py(points, first) - py(points, second));
}

function px(points: Float32Array, index: number): number {
  return points[index * 3] ?? 0;
}

function py(points: Float32Array, index: number): number {
  return points[index * 3 + 1] ?? 0;
}
