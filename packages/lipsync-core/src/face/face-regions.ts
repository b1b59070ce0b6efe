import type { FaceBox, FaceRegion } from './face-types.ts';
import { leftEyeCorners, rightEyeCorners } from './landmark-groups.ts';

/** Meshes cover 468 points; the irises after them do not widen the face. */
const meshPoints = 468;
const marginFactor = 1.5;

const steadyShift = 0.006;
const steadyGrowth = 0.012;
const steadyTurn = 0.015;
const worthyShift = 0.02;
const worthyGrowth = 0.04;
const worthyTurn = 0.04;

/** Where to look for the mesh of a face that the detector found. */
export function regionOfBox(box: FaceBox): FaceRegion {
  return {
    centerX: box.x + box.width / 2,
    centerY: box.y + box.height / 2,
    side: Math.max(box.width, box.height) * marginFactor,
    roll: box.roll,
  };
}

/** Where to look for the mesh in the next frame: around the mesh as it is, turned with the line of the eyes. */
export function regionOfMesh(points: Float32Array): FaceRegion {
  const roll = rollOf(points);
  const cosine = Math.cos(roll);
  const sine = Math.sin(roll);
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let index = 0; index < meshPoints; index += 1) {
    const x = points[index * 3] ?? 0;
    const y = points[index * 3 + 1] ?? 0;
    const across = x * cosine + y * sine;
    const down = y * cosine - x * sine;
    left = Math.min(left, across);
    right = Math.max(right, across);
    top = Math.min(top, down);
    bottom = Math.max(bottom, down);
  }
  const across = (left + right) / 2;
  const down = (top + bottom) / 2;
  return {
    centerX: across * cosine - down * sine,
    centerY: across * sine + down * cosine,
    side: Math.max(right - left, bottom - top) * marginFactor,
    roll,
  };
}

/** The new region, or the old one where the two hardly differ: a face that holds still is looked at through a still window. */
export function steadyRegion(old: FaceRegion, next: FaceRegion): FaceRegion {
  return differs(old, next, steadyShift, steadyGrowth, steadyTurn) ? next : old;
}

/** Whether a mesh was found so far from the middle of the region that it is worth finding again from the right one. */
export function isOffCenter(used: FaceRegion, found: FaceRegion): boolean {
  return differs(used, found, worthyShift, worthyGrowth, worthyTurn);
}

/** The upright box around a region's face, without the margin. */
export function boxOfRegion({ centerX, centerY, side }: FaceRegion) {
  const size = side / marginFactor;
  return { x: centerX - size / 2, y: centerY - size / 2, width: size, height: size };
}

function differs(old: FaceRegion, next: FaceRegion, shift: number, growth: number, turn: number): boolean {
  const moved = Math.hypot(next.centerX - old.centerX, next.centerY - old.centerY) / old.side;
  const turned = Math.abs(Math.atan2(Math.sin(next.roll - old.roll), Math.cos(next.roll - old.roll)));
  return moved > shift || turned > turn || Math.abs(Math.log(next.side / old.side)) > growth;
}

function rollOf(points: Float32Array): number {
  const left = leftEyeCorners[0] * 3;
  const right = rightEyeCorners[0] * 3;
  const across = (points[right] ?? 0) - (points[left] ?? 0);
  const down = (points[right + 1] ?? 0) - (points[left + 1] ?? 0);
  return Math.atan2(down, across);
}
