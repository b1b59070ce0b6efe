import { at } from '../../../image/math.ts';

/**
 * Where a head is in a picture: `pixel = origin + u·across + v·down + w·depth` for a point (u, v, w) of the
 * head's own space, whose origin is the nose base and whose unit is the distance of the outer eye corners.
 */
export interface HeadPose {
  originX: number;
  originY: number;
  acrossX: number;
  acrossY: number;
  downX: number;
  downY: number;
  depthX: number;
  depthY: number;
  /** Pixels per unit of the head's space. */
  scale: number;
  /** Rotation from head space to picture space, row by row. */
  readonly rotation: Float64Array;
  /** Third coordinate of the origin, in landmark depth. */
  originZ: number;
}

export function createHeadPose(): HeadPose {
  return {
    originX: 0,
    originY: 0,
    acrossX: 0,
    acrossY: 0,
    downX: 0,
    downY: 0,
    depthX: 0,
    depthY: 0,
    scale: 0,
    rotation: new Float64Array(9),
    originZ: 0,
  };
}

/** The rigid points of one head, in its own space. */
export interface HeadTemplate {
  /** Landmark numbers. */
  readonly landmarks: readonly number[];
  /** Three coordinates for each of `landmarks`. */
  readonly points: Float64Array;
  /** Landmarks that fix the origin; a subset of `landmarks`. */
  readonly anchors: readonly number[];
}

const polarIterations = 12;
const smallestDeterminant = 1e-12;

/** Replaces `matrix` (3 × 3) by the rotation nearest to it (Newton's iteration for the polar decomposition). False where there is none. */
function nearestRotation(matrix: Float64Array): boolean {
  for (let iteration = 0; iteration < polarIterations; iteration += 1) {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, i = 0] = matrix;
    const ca = e * i - f * h;
    const cb = f * g - d * i;
    const cc = d * h - e * g;
    const determinant = a * ca + b * cb + c * cc;
    if (!(determinant > smallestDeterminant)) return false;
    const k = 1 / determinant;
    matrix[0] = (a + ca * k) / 2;
    matrix[1] = (b + cb * k) / 2;
    matrix[2] = (c + cc * k) / 2;
    matrix[3] = (d + (c * h - b * i) * k) / 2;
    matrix[4] = (e + (a * i - c * g) * k) / 2;
    matrix[5] = (f + (b * g - a * h) * k) / 2;
    matrix[6] = (g + (b * f - c * e) * k) / 2;
    matrix[7] = (h + (c * d - a * f) * k) / 2;
    matrix[8] = (i + (a * e - b * d) * k) / 2;
  }
  return true;
}

/** Fills the axes from rotation and scale. */
function setAxes(pose: HeadPose, scale: number): void {
  const { rotation } = pose;
  pose.scale = scale;
  pose.acrossX = scale * at(rotation, 0);
  pose.downX = scale * at(rotation, 1);
  pose.depthX = scale * at(rotation, 2);
  pose.acrossY = scale * at(rotation, 3);
  pose.downY = scale * at(rotation, 4);
  pose.depthY = scale * at(rotation, 5);
}

/**
 * Fits the template to landmarks (x, y, z triples in pixels) by rotation, scale and shift in the least-squares
 * sense, and writes the pose. False, with the pose undefined, when the landmarks describe no head.
 */
export function fitHeadPose(template: HeadTemplate, points: Float32Array, pose: HeadPose): boolean {
  const { landmarks, points: model } = template;
  const { rotation } = pose;
  const count = landmarks.length;
  const mean = [0, 0, 0, 0, 0, 0];
  for (let k = 0; k < count; k += 1) {
    for (let axis = 0; axis < 3; axis += 1) {
      mean[axis] = (mean[axis] ?? 0) + at(model, k * 3 + axis) / count;
      mean[axis + 3] = (mean[axis + 3] ?? 0) + at(points, (landmarks[k] ?? 0) * 3 + axis) / count;
    }
  }
  const [modelX = 0, modelY = 0, modelZ = 0, pointX = 0, pointY = 0, pointZ = 0] = mean;
  rotation.fill(0);
  let modelSpread = 0;
  for (let k = 0; k < count; k += 1) {
    const mx = at(model, k * 3) - modelX;
    const my = at(model, k * 3 + 1) - modelY;
    const mz = at(model, k * 3 + 2) - modelZ;
    modelSpread += mx * mx + my * my + mz * mz;
    const landmark = (landmarks[k] ?? 0) * 3;
    accumulateRow(rotation, 0, at(points, landmark) - pointX, mx, my, mz);
    accumulateRow(rotation, 3, at(points, landmark + 1) - pointY, mx, my, mz);
    accumulateRow(rotation, 6, at(points, landmark + 2) - pointZ, mx, my, mz);
  }
  if (!(modelSpread > 0)) return false;
  const covariance = normalized(rotation);
  if (covariance === undefined || !nearestRotation(rotation)) return false;
  let trace = 0;
  for (let k = 0; k < 9; k += 1) trace += at(rotation, k) * at(covariance, k);
  setAxes(pose, trace / modelSpread);
  placeOrigin(template, points, pose);
  return Number.isFinite(pose.scale) && pose.scale > 0 && Number.isFinite(pose.originX + pose.originY + pose.originZ);
}

function accumulateRow(matrix: Float64Array, row: number, value: number, mx: number, my: number, mz: number): void {
  matrix[row] = at(matrix, row) + value * mx;
  matrix[row + 1] = at(matrix, row + 1) + value * my;
  matrix[row + 2] = at(matrix, row + 2) + value * mz;
}

/** Scales `matrix` to unit size for the iteration and returns what it was. Undefined where it is zero or not finite. */
function normalized(matrix: Float64Array): Float64Array | undefined {
  const original = matrix.slice();
  let squares = 0;
  for (const value of original) squares += value * value;
  const size = Math.sqrt(squares);
  if (!(size > 0) || !Number.isFinite(size)) return undefined;
  for (let k = 0; k < 9; k += 1) matrix[k] = at(original, k) / size;
  return original;
}

/** Sets the origin so that the anchor landmarks lie where the pose puts them, on average. */
function placeOrigin(template: HeadTemplate, points: Float32Array, pose: HeadPose): void {
  const { rotation, scale } = pose;
  let x = 0;
  let y = 0;
  let z = 0;
  for (const anchor of template.anchors) {
    const k = template.landmarks.indexOf(anchor) * 3;
    const mx = at(template.points, k) * scale;
    const my = at(template.points, k + 1) * scale;
    const mz = at(template.points, k + 2) * scale;
    x += at(points, anchor * 3) - (at(rotation, 0) * mx + at(rotation, 1) * my + at(rotation, 2) * mz);
    y += at(points, anchor * 3 + 1) - (at(rotation, 3) * mx + at(rotation, 4) * my + at(rotation, 5) * mz);
    z += at(points, anchor * 3 + 2) - (at(rotation, 6) * mx + at(rotation, 7) * my + at(rotation, 8) * mz);
  }
  pose.originX = x / template.anchors.length;
  pose.originY = y / template.anchors.length;
  pose.originZ = z / template.anchors.length;
}

/** A landmark's coordinate in the head's own space: axis 0 across, 1 down, 2 depth. */
export function inHeadSpace(pose: HeadPose, points: Float32Array, landmark: number, axis: 0 | 1 | 2): number {
  const x = at(points, landmark * 3) - pose.originX;
  const y = at(points, landmark * 3 + 1) - pose.originY;
  const z = at(points, landmark * 3 + 2) - pose.originZ;
  const { rotation } = pose;
  return (at(rotation, axis) * x + at(rotation, axis + 3) * y + at(rotation, axis + 6) * z) / pose.scale;
}

/** Turn of the head away from the camera: sines of yaw and pitch. */
export function turnOf(pose: HeadPose): { readonly yaw: number; readonly pitch: number } {
  return { yaw: at(pose.rotation, 2), pitch: at(pose.rotation, 5) };
}
