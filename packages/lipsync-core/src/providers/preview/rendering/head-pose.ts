import {
  chinTip,
  foreheadTop,
  leftEyeCorners,
  noseBase,
  nosePoints,
  rightEyeCorners,
  skullPoints,
} from '../../../face/landmarks.ts';
import { at, medianInPlace } from '../../../image/math.ts';

/**
 * Scaled orthographic pose of a head: the point (u, v, w) of head space appears at `origin + u·across + v·down +
 * w·depth`. Head space has its origin at the nose base and the distance of the outer eye corners as its unit.
 */
export interface HeadPose {
  originX: number;
  originY: number;
  /** Depth of the origin, in landmark units. */
  originZ: number;
  acrossX: number;
  acrossY: number;
  downX: number;
  downY: number;
  depthX: number;
  depthY: number;
  /** Pixels per unit of head space. */
  scale: number;
  /** Rotation from head space to the picture, a row-major 3 × 3 matrix. */
  readonly rotation: Float64Array;
}

export function createHeadPose(): HeadPose {
  return {
    originX: 0,
    originY: 0,
    originZ: 0,
    acrossX: 0,
    acrossY: 0,
    downX: 0,
    downY: 0,
    depthX: 0,
    depthY: 0,
    scale: 0,
    rotation: new Float64Array(9),
  };
}

/** The skull points of one head in head space: x, y, z of each of `skullPoints`. */
export interface HeadTemplate {
  readonly points: Float64Array;
}

const skullCount = skullPoints.length;
/** Positions of the nose points in a template. */
const anchors = nosePoints.map((landmark) => ({ landmark, index: skullPoints.indexOf(landmark) }));
const polarIterations = 12;
const smallestDeterminant = 1e-12;

/**
 * The skull points of one frame in axes of its own: across along the eyes, down from forehead to chin. Undefined for
 * degenerate landmarks.
 */
export function createTemplate(points: Float32Array): HeadTemplate | undefined {
  const pose = poseFromAxes(points);
  if (pose === undefined) return undefined;
  const model = new Float64Array(skullCount * 3);
  for (let k = 0; k < skullCount; k += 1) {
    for (const axis of [0, 1, 2] as const) model[k * 3 + axis] = toHeadSpace(pose, points, skullPoints[k] ?? 0, axis);
  }
  return { points: model };
}

/** The coordinate-wise median of templates, which is robust against single bad frames. */
export function medianTemplate(templates: readonly HeadTemplate[]): HeadTemplate | undefined {
  if (templates.length === 0) return undefined;
  const model = new Float64Array(skullCount * 3);
  for (let k = 0; k < model.length; k += 1)
    model[k] = medianInPlace(templates.map((template) => at(template.points, k)));
  return { points: model };
}

type Vector = readonly [number, number, number];

function difference(points: Float32Array, from: number, to: number): Vector {
  const along = (axis: number): number => at(points, to * 3 + axis) - at(points, from * 3 + axis);
  return [along(0), along(1), along(2)];
}

function poseFromAxes(points: Float32Array): HeadPose | undefined {
  const across = difference(points, leftEyeCorners[0], rightEyeCorners[0]);
  const scale = Math.hypot(...across);
  if (!(scale > 1)) return undefined;
  const x: Vector = [across[0] / scale, across[1] / scale, across[2] / scale];
  const long = difference(points, foreheadTop, chinTip);
  const along = long[0] * x[0] + long[1] * x[1] + long[2] * x[2];
  const upright: Vector = [long[0] - along * x[0], long[1] - along * x[1], long[2] - along * x[2]];
  const length = Math.hypot(...upright);
  if (!(length > 1)) return undefined;
  const y: Vector = [upright[0] / length, upright[1] / length, upright[2] / length];
  const z: Vector = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
  const pose = createHeadPose();
  pose.rotation.set([x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]]);
  pose.scale = scale;
  pose.originX = at(points, noseBase * 3);
  pose.originY = at(points, noseBase * 3 + 1);
  pose.originZ = at(points, noseBase * 3 + 2);
  return pose;
}

/**
 * Fits a template to landmarks by rotation, scale and translation in the least-squares sense (orthogonal Procrustes
 * problem), and writes the pose. Returns false, with an undefined pose, for degenerate landmarks.
 */
export function fitHeadPose(template: HeadTemplate, points: Float32Array, pose: HeadPose): boolean {
  const { points: model } = template;
  const { rotation } = pose;
  const mean = [0, 0, 0, 0, 0, 0];
  for (let k = 0; k < skullCount; k += 1) {
    for (let axis = 0; axis < 3; axis += 1) {
      mean[axis] = (mean[axis] ?? 0) + at(model, k * 3 + axis) / skullCount;
      mean[axis + 3] = (mean[axis + 3] ?? 0) + at(points, (skullPoints[k] ?? 0) * 3 + axis) / skullCount;
    }
  }
  const [modelX = 0, modelY = 0, modelZ = 0] = mean;
  rotation.fill(0);
  let modelVariance = 0;
  for (let k = 0; k < skullCount; k += 1) {
    const mx = at(model, k * 3) - modelX;
    const my = at(model, k * 3 + 1) - modelY;
    const mz = at(model, k * 3 + 2) - modelZ;
    modelVariance += mx * mx + my * my + mz * mz;
    const landmark = (skullPoints[k] ?? 0) * 3;
    for (let axis = 0; axis < 3; axis += 1) {
      const value = at(points, landmark + axis) - (mean[axis + 3] ?? 0);
      rotation[axis * 3] = at(rotation, axis * 3) + value * mx;
      rotation[axis * 3 + 1] = at(rotation, axis * 3 + 1) + value * my;
      rotation[axis * 3 + 2] = at(rotation, axis * 3 + 2) + value * mz;
    }
  }
  if (!(modelVariance > 0)) return false;
  const covariance = normalize(rotation);
  if (covariance === undefined || !replaceByNearestRotation(rotation)) return false;
  let trace = 0;
  for (let k = 0; k < 9; k += 1) trace += at(rotation, k) * at(covariance, k);
  setAxes(pose, trace / modelVariance);
  setOrigin(template, points, pose);
  return Number.isFinite(pose.scale) && pose.scale > 0 && Number.isFinite(pose.originX + pose.originY + pose.originZ);
}

/** Scales `matrix` to unit norm and returns a copy of the original. Undefined when the norm is zero or not finite. */
function normalize(matrix: Float64Array): Float64Array | undefined {
  const original = matrix.slice();
  let squares = 0;
  for (const value of original) squares += value * value;
  const norm = Math.sqrt(squares);
  if (!(norm > 0) || !Number.isFinite(norm)) return undefined;
  for (let k = 0; k < 9; k += 1) matrix[k] = at(original, k) / norm;
  return original;
}

/**
 * Replaces a 3 × 3 matrix by its nearest rotation, with Newton's iteration for the polar decomposition (Higham, 1986).
 * Returns false for a singular matrix.
 */
function replaceByNearestRotation(matrix: Float64Array): boolean {
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

/** Sets the origin so that the mean position of the nose points agrees with the landmarks. */
function setOrigin(template: HeadTemplate, points: Float32Array, pose: HeadPose): void {
  const { rotation, scale } = pose;
  let x = 0;
  let y = 0;
  let z = 0;
  for (const { landmark, index } of anchors) {
    const mx = at(template.points, index * 3) * scale;
    const my = at(template.points, index * 3 + 1) * scale;
    const mz = at(template.points, index * 3 + 2) * scale;
    x += at(points, landmark * 3) - (at(rotation, 0) * mx + at(rotation, 1) * my + at(rotation, 2) * mz);
    y += at(points, landmark * 3 + 1) - (at(rotation, 3) * mx + at(rotation, 4) * my + at(rotation, 5) * mz);
    z += at(points, landmark * 3 + 2) - (at(rotation, 6) * mx + at(rotation, 7) * my + at(rotation, 8) * mz);
  }
  pose.originX = x / anchors.length;
  pose.originY = y / anchors.length;
  pose.originZ = z / anchors.length;
}

/** A landmark's coordinate in head space: axis 0 across, 1 down, 2 depth. */
export function toHeadSpace(pose: HeadPose, points: Float32Array, landmark: number, axis: 0 | 1 | 2): number {
  const x = at(points, landmark * 3) - pose.originX;
  const y = at(points, landmark * 3 + 1) - pose.originY;
  const z = at(points, landmark * 3 + 2) - pose.originZ;
  const { rotation } = pose;
  return (at(rotation, axis) * x + at(rotation, axis + 3) * y + at(rotation, axis + 6) * z) / pose.scale;
}

/**
 * A landmark's coordinate in the face plane, which the across and down axes span in the picture: axis 0 across, 1 down.
 * Unlike head space it does not depend on the landmark's depth, so it is exact in the picture.
 */
export function toFacePlane(pose: HeadPose, points: Float32Array, landmark: number, axis: 0 | 1): number {
  const x = at(points, landmark * 3) - pose.originX;
  const y = at(points, landmark * 3 + 1) - pose.originY;
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  return axis === 0
    ? (x * pose.downY - y * pose.downX) / determinant
    : (y * pose.acrossX - x * pose.acrossY) / determinant;
}

/** Displacement in the face plane per unit of depth. */
export function depthParallax(pose: HeadPose): { readonly across: number; readonly down: number } {
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  return {
    across: (pose.depthX * pose.downY - pose.depthY * pose.downX) / determinant,
    down: (pose.depthY * pose.acrossX - pose.depthX * pose.acrossY) / determinant,
  };
}

/** Sines of the head's yaw and pitch relative to the camera. */
export function headRotation(pose: HeadPose): { readonly yaw: number; readonly pitch: number } {
  return { yaw: at(pose.rotation, 2), pitch: at(pose.rotation, 5) };
}
