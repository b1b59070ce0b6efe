import { chinTip, jawLine, noseBase } from '../../../face/landmarks.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples, inPicturePlane, type LipCurves } from './lip-curves.ts';
import type { MouthTarget } from './mouth-target.ts';
import { at, clamp, mix, smoothStep } from '../../../image/math.ts';

/** A rectangle of whole pixels with even corners; right and bottom are exclusive. */
interface PixelRegion {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/**
 * Where each pixel of a region comes from, as displacements on a coarse grid. The lips part along the seam,
 * so there are two smooth fields: one for what is above it, one for what is below.
 */
export interface WarpField {
  readonly region: PixelRegion;
  /** Pixels between grid nodes. */
  step: number;
  columns: number;
  rows: number;
  upperX: Float32Array;
  upperY: Float32Array;
  lowerX: Float32Array;
  lowerY: Float32Array;
}

export function createWarpField(): WarpField {
  return {
    region: { left: 0, top: 0, right: 0, bottom: 0 },
    step: 1,
    columns: 0,
    rows: 0,
    upperX: new Float32Array(0),
    upperY: new Float32Array(0),
    lowerX: new Float32Array(0),
    lowerY: new Float32Array(0),
  };
}

/** The part of the face that may move, in the picture plane of the head. */
interface Reach {
  /** Where the upper lip's movement has died out. */
  top: number;
  chin: number;
  /** Where the jaw's movement has died out. */
  bottom: number;
  left: number;
  right: number;
  center: number;
}

const reach: Reach = { top: 0, chin: 0, bottom: 0, left: 0, right: 0, center: 0 };

/** How far below the chin its movement dies out, as a share of the distance between mouth and chin. */
const neckShare = 0.75;
const topShareOfLip = 0.9;
const nodesAcrossMouth = 26;
const marginPx = 2;

function measureReach(
  pose: HeadPose,
  points: Float32Array,
  source: Readonly<LipCurves>,
  target: Readonly<LipCurves>,
): void {
  const middle = (curveSamples - 1) / 2;
  const lip = Math.min(at(source.outerUpper, middle), at(target.outerUpper, middle));
  const nose = inPicturePlane(pose, points, noseBase, 1);
  reach.center = (source.left + source.right) / 2;
  reach.top = lip + (nose - lip) * topShareOfLip;
  const lowest = Math.max(at(source.outerLower, middle), at(target.outerLower, middle));
  reach.chin = Math.max(inPicturePlane(pose, points, chinTip, 1), lowest + (source.right - source.left) * 0.15);
  reach.bottom = reach.chin + (reach.chin - lip) * neckShare;
  reach.left = reach.center;
  reach.right = reach.center;
  for (const landmark of jawLine) {
    const across = inPicturePlane(pose, points, landmark, 0);
    reach.left = Math.min(reach.left, across);
    reach.right = Math.max(reach.right, across);
  }
  const width = source.right - source.left;
  reach.left = Math.min(reach.left, Math.min(source.left, target.left) - width * 0.2);
  reach.right = Math.max(reach.right, Math.max(source.right, target.right) + width * 0.2);
}

/** Bounds of the reach in whole, even pixels, cut at the picture. False when nothing of it lies inside. */
function placeRegion(pose: HeadPose, width: number, height: number, region: PixelRegion): boolean {
  let left = Number.POSITIVE_INFINITY;
  let top = Number.POSITIVE_INFINITY;
  let right = Number.NEGATIVE_INFINITY;
  let bottom = Number.NEGATIVE_INFINITY;
  for (let corner = 0; corner < 4; corner += 1) {
    const u = corner % 2 === 0 ? reach.left : reach.right;
    const v = corner < 2 ? reach.top : reach.bottom;
    const x = pose.originX + u * pose.acrossX + v * pose.downX;
    const y = pose.originY + u * pose.acrossY + v * pose.downY;
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  region.left = Math.max(0, Math.floor(left - marginPx) & ~1);
  region.top = Math.max(0, Math.floor(top - marginPx) & ~1);
  region.right = Math.min(width, (Math.ceil(right + marginPx) + 1) & ~1);
  region.bottom = Math.min(height, (Math.ceil(bottom + marginPx) + 1) & ~1);
  return region.right - region.left >= 2 && region.bottom - region.top >= 2;
}

function sizeGrid(field: WarpField, mouthWidthPx: number): void {
  field.step = Math.max(1, Math.round(mouthWidthPx / nodesAcrossMouth));
  field.columns = Math.ceil((field.region.right - field.region.left) / field.step) + 2;
  field.rows = Math.ceil((field.region.bottom - field.region.top) / field.step) + 2;
  const nodes = field.columns * field.rows;
  if (field.upperX.length >= nodes) return;
  field.upperX = new Float32Array(nodes);
  field.upperY = new Float32Array(nodes);
  field.lowerX = new Float32Array(nodes);
  field.lowerY = new Float32Array(nodes);
}

/** How far each lip edge and the chin move at one place across the face; filled by `moveAt`. */
const move = { outerUpper: 0, innerUpper: 0, innerLower: 0, outerLower: 0, jaw: 0, across: 0 };
/** Where the target's lip edges lie there. */
const edge = { outerUpper: 0, innerUpper: 0, innerLower: 0, outerLower: 0 };

function moveAt(u: number, source: Readonly<LipCurves>, target: MouthTarget): void {
  const { curves } = target;
  const position = clamp((u - curves.left) / (curves.right - curves.left), 0, 1) * (curveSamples - 1);
  const k = Math.min(curveSamples - 2, Math.floor(position));
  const t = position - k;
  edge.outerUpper = mix(at(curves.outerUpper, k), at(curves.outerUpper, k + 1), t);
  edge.innerUpper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), t);
  edge.innerLower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), t);
  edge.outerLower = mix(at(curves.outerLower, k), at(curves.outerLower, k + 1), t);
  const beyond =
    u < curves.left
      ? smoothStep(reach.left, curves.left, u)
      : u > curves.right
        ? smoothStep(reach.right, curves.right, u)
        : 1;
  move.outerUpper = (edge.outerUpper - mix(at(source.outerUpper, k), at(source.outerUpper, k + 1), t)) * beyond;
  move.innerUpper = (edge.innerUpper - mix(at(source.innerUpper, k), at(source.innerUpper, k + 1), t)) * beyond;
  move.innerLower = (edge.innerLower - mix(at(source.innerLower, k), at(source.innerLower, k + 1), t)) * beyond;
  move.outerLower = (edge.outerLower - mix(at(source.outerLower, k), at(source.outerLower, k + 1), t)) * beyond;
  const inSource = mix(source.left, source.right, position / (curveSamples - 1));
  const inTarget = mix(curves.left, curves.right, position / (curveSamples - 1));
  move.across = (inTarget - inSource) * beyond;
  const halfWidth = u < reach.center ? reach.center - reach.left : reach.right - reach.center;
  move.jaw = target.chinDrop * (1 - smoothStep(0.3, 1, Math.abs(u - reach.center) / halfWidth));
}

/** Downward movement above the seam. */
function upperMove(v: number): number {
  if (v >= edge.innerUpper) return move.innerUpper;
  if (v >= edge.outerUpper)
    return mix(move.outerUpper, move.innerUpper, (v - edge.outerUpper) / (edge.innerUpper - edge.outerUpper));
  return move.outerUpper * smoothStep(reach.top, edge.outerUpper, v);
}

/** Downward movement below the seam. */
function lowerMove(v: number): number {
  if (v <= edge.innerLower) return move.innerLower;
  if (v < edge.outerLower)
    return mix(move.innerLower, move.outerLower, (v - edge.innerLower) / (edge.outerLower - edge.innerLower));
  if (v < reach.chin) return mix(move.outerLower, move.jaw, smoothStep(edge.outerLower, reach.chin, v));
  return move.jaw * smoothStep(reach.bottom, reach.chin, v);
}

/** Share of the sideways movement at `v`: full along the lips, none at nose and chin. */
function acrossShare(v: number): number {
  if (v < edge.outerUpper) return smoothStep(reach.top, edge.outerUpper, v);
  if (v > edge.outerLower) return smoothStep(reach.chin, edge.outerLower, v);
  return 1;
}

/**
 * Lays out the displacements that turn the mouth `source` into `target`. False when the face lies outside the
 * picture. The field keeps its memory between calls; it grows only with the face.
 */
export function layWarpField(
  field: WarpField,
  pose: HeadPose,
  points: Float32Array,
  source: Readonly<LipCurves>,
  target: MouthTarget,
  picture: { readonly width: number; readonly height: number },
): boolean {
  measureReach(pose, points, source, target.curves);
  if (!placeRegion(pose, picture.width, picture.height, field.region)) return false;
  sizeGrid(field, (source.right - source.left) * pose.scale);
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  for (let row = 0; row < field.rows; row += 1) {
    const y = field.region.top + row * field.step - pose.originY;
    for (let column = 0; column < field.columns; column += 1) {
      const x = field.region.left + column * field.step - pose.originX;
      const u = (x * pose.downY - y * pose.downX) / determinant;
      const v = (y * pose.acrossX - x * pose.acrossY) / determinant;
      moveAt(u, source, target);
      const across = move.across * acrossShare(v);
      const up = upperMove(v);
      const low = lowerMove(v);
      const node = row * field.columns + column;
      field.upperX[node] = -(across * pose.acrossX + up * pose.downX);
      field.upperY[node] = -(across * pose.acrossY + up * pose.downY);
      field.lowerX[node] = -(across * pose.acrossX + low * pose.downX);
      field.lowerY[node] = -(across * pose.acrossY + low * pose.downY);
    }
  }
  return true;
}
