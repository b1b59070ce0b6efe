import { rigidPoints } from './landmark-groups.ts';

/** A mesh taken apart: where the head is in the picture, and the face's shape as if the head stood upright at unit size. */
export interface PosedFace {
  readonly x: number;
  readonly y: number;
  /** Natural logarithm of the head's size in pixels. */
  readonly logSize: number;
  /** In-plane rotation, radians. */
  readonly roll: number;
  /** Same layout as the mesh, relative to (x, y), turned upright, in units of the size. */
  readonly shape: Float32Array;
}

const eyeLine = [33, 133, 362, 263] as const;

/** Takes a mesh apart by its rigid points. The size is their root mean square distance from their middle. */
export function takePose(points: Float32Array): PosedFace {
  const { x, y } = middleOf(points);
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

/** The mesh that a pose and a shape describe; undoes `takePose`. */
export function applyPose({ x, y, logSize, roll, shape }: PosedFace): Float32Array {
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

/** In-plane rotation, radians: from both corners of both eyes, so that one wrong corner does not turn the head. */
export function rollOf(points: Float32Array): number {
  const [outerLeft, innerLeft, innerRight, outerRight] = eyeLine;
  const across = px(points, outerRight) + px(points, innerRight) - px(points, outerLeft) - px(points, innerLeft);
  const down = py(points, outerRight) + py(points, innerRight) - py(points, outerLeft) - py(points, innerLeft);
  return Math.atan2(down, across);
}

function middleOf(points: Float32Array): { readonly x: number; readonly y: number } {
  return { x: mean(rigidPoints, (index) => px(points, index)), y: mean(rigidPoints, (index) => py(points, index)) };
}

function mean(indices: readonly number[], value: (index: number) => number): number {
  return indices.reduce((sum, index) => sum + value(index), 0) / indices.length;
}

function px(points: Float32Array, index: number): number {
  return points[index * 3] ?? 0;
}

function py(points: Float32Array, index: number): number {
  return points[index * 3 + 1] ?? 0;
}
