import type { FacePlacement } from './face-placement.ts';
import { FeatheredPolygon, type CoverageSample } from '../../../image/feathered-polygon.ts';

/** Cells of the mask along each side of the face's box. It is soft, so that few are enough at any size of the crop. */
export const maskCells = 48;

/** How much of each place of a face's box is to be replaced, row by row. */
export interface MouthMask {
  /** `maskCells²` values, 0–255. */
  readonly cover: Uint8Array;
  /** 1 for cells of skin around the mouth, where the redrawn face should look as it did before. */
  readonly skin: Uint8Array;
  /** Cells that cover anything, ends exclusive; empty when none do. */
  readonly area: CellArea;
}

interface CellArea {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** A corner of the area to replace. Shares are of the box's height. */
interface Corner {
  readonly landmark: number;
  /** How far the corner lies outside its landmark. */
  readonly outwards: number;
  /** How far inside the outline the cover becomes full, and how far outside it ends. */
  readonly inner: number;
  readonly outer: number;
}

/**
 * Mouth and jaw: below the nose, between the cheeks, to a little below the chin, where the box ends. The cover fades
 * slowly over the cheeks, which are smooth, and quickly at the jaw, behind which the neck and the background begin.
 */
const corners: readonly Corner[] = [
  ...along([58, 172], { outwards: 0, inner: 0.06, outer: 0.02 }),
  ...along([136, 150, 149], { outwards: 0.012, inner: 0.04, outer: 0.025 }),
  ...along([176, 148, 152, 377, 400], { outwards: 0.016, inner: 0.018, outer: 0.03 }),
  ...along([378, 379, 365], { outwards: 0.012, inner: 0.04, outer: 0.025 }),
  ...along([397, 288], { outwards: 0, inner: 0.06, outer: 0.02 }),
  ...along([361, 425], { outwards: 0, inner: 0.1, outer: 0.02 }),
  ...along([327, 2, 98], { outwards: 0, inner: 0.035, outer: 0.015 }),
  ...along([205, 132], { outwards: 0, inner: 0.1, outer: 0.02 }),
];

function along(landmarks: readonly number[], shape: Omit<Corner, 'landmark'>): readonly Corner[] {
  return landmarks.map((landmark) => ({ landmark, ...shape }));
}

/** Corners of the mouth, and middles of the lips' outer edges. */
const lips = { left: 61, right: 291, upper: 0, lower: 17 } as const;
/** How much larger than the lips the ellipse is that does not count as skin. */
const lipsMargin = 1.25;
/** Cells at the box's border over which the cover fades out, whatever the landmarks say: beyond it nothing was redrawn. */
const borderCells = 2;

/** An ellipse that stands upright in the box. */
interface Ellipse {
  x: number;
  y: number;
  radiusX: number;
  radiusY: number;
}

/** Lays masks for one face. Keeps its memory between frames: the mask it gives is its own and changes with the next call. */
export interface MouthMaskLayer {
  lay(placement: FacePlacement, points: Float32Array): MouthMask;
}

export function createMouthMaskLayer(): MouthMaskLayer {
  const outline = new FeatheredPolygon(corners.length);
  for (const [index, { inner, outer }] of corners.entries()) {
    outline.innerFeather[index] = inner;
    outline.outerFeather[index] = outer;
  }
  const cells = maskCells * maskCells;
  const mask: MouthMask = {
    cover: new Uint8Array(cells),
    skin: new Uint8Array(cells),
    area: { left: 0, top: 0, right: 0, bottom: 0 },
  };
  const mouth: Ellipse = { x: 0, y: 0, radiusX: 0, radiusY: 0 };
  const reached: CellArea = { left: 0, top: 0, right: 0, bottom: 0 };
  return {
    lay(placement, points) {
      placeOutline(outline, placement, points);
      placeMouth(mouth, placement, points);
      reachOf(outline, placement.width / placement.height, reached);
      fillMask(mask, outline, mouth, reached, placement.width / placement.height);
      return mask;
    },
  };
}

/** A landmark's place in the turned box: from the box's middle, in units of its height. */
function acrossBox({ centerX, centerY, height, roll }: FacePlacement, points: Float32Array, landmark: number): number {
  return (
    (((points[landmark * 3] ?? NaN) - centerX) * Math.cos(roll) +
      ((points[landmark * 3 + 1] ?? NaN) - centerY) * Math.sin(roll)) /
    height
  );
}

function downBox({ centerX, centerY, height, roll }: FacePlacement, points: Float32Array, landmark: number): number {
  return (
    (((points[landmark * 3 + 1] ?? NaN) - centerY) * Math.cos(roll) -
      ((points[landmark * 3] ?? NaN) - centerX) * Math.sin(roll)) /
    height
  );
}

function placeOutline(outline: FeatheredPolygon, placement: FacePlacement, points: Float32Array): void {
  const { vertexX, vertexY } = outline;
  let middleX = 0;
  let middleY = 0;
  for (const [index, { landmark }] of corners.entries()) {
    const x = acrossBox(placement, points, landmark);
    const y = downBox(placement, points, landmark);
    vertexX[index] = x;
    vertexY[index] = y;
    middleX += x / corners.length;
    middleY += y / corners.length;
  }
  for (const [index, { outwards }] of corners.entries()) {
    const fromMiddleX = (vertexX[index] ?? 0) - middleX;
    const fromMiddleY = (vertexY[index] ?? 0) - middleY;
    const share = outwards / (Math.hypot(fromMiddleX, fromMiddleY) + Number.MIN_VALUE);
    vertexX[index] = (vertexX[index] ?? 0) + fromMiddleX * share;
    vertexY[index] = (vertexY[index] ?? 0) + fromMiddleY * share;
  }
  outline.updateEdges();
}

function placeMouth(mouth: Ellipse, placement: FacePlacement, points: Float32Array): void {
  const left = acrossBox(placement, points, lips.left);
  const right = acrossBox(placement, points, lips.right);
  const upper = downBox(placement, points, lips.upper);
  const lower = downBox(placement, points, lips.lower);
  mouth.x = (left + right) / 2;
  mouth.y = (upper + lower) / 2;
  mouth.radiusX = (Math.abs(right - left) / 2) * lipsMargin;
  mouth.radiusY = (Math.abs(lower - upper) / 2) * lipsMargin;
}

/** The cells that the outline and its soft border can touch. */
function reachOf({ vertexX, vertexY }: FeatheredPolygon, aspect: number, reached: CellArea): void {
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (const [index, { outer }] of corners.entries()) {
    left = Math.min(left, (vertexX[index] ?? 0) - outer);
    right = Math.max(right, (vertexX[index] ?? 0) + outer);
    top = Math.min(top, (vertexY[index] ?? 0) - outer);
    bottom = Math.max(bottom, (vertexY[index] ?? 0) + outer);
  }
  reached.left = clampCell(Math.floor((left / aspect + 0.5) * maskCells));
  reached.right = clampCell(Math.ceil((right / aspect + 0.5) * maskCells));
  reached.top = clampCell(Math.floor((top + 0.5) * maskCells));
  reached.bottom = clampCell(Math.ceil((bottom + 0.5) * maskCells));
}

function clampCell(cell: number): number {
  return cell > 0 ? Math.min(cell, maskCells) : 0;
}

function fillMask(
  { cover, skin, area }: MouthMask,
  outline: FeatheredPolygon,
  mouth: Ellipse,
  reached: CellArea,
  aspect: number,
): void {
  const sample: CoverageSample = { coverage: 0, inside: false };
  cover.fill(0);
  skin.fill(0);
  area.left = area.top = maskCells;
  area.right = area.bottom = 0;
  for (let row = reached.top; row < reached.bottom; row += 1) {
    const y = (row + 0.5) / maskCells - 0.5;
    for (let column = reached.left; column < reached.right; column += 1) {
      const x = ((column + 0.5) / maskCells - 0.5) * aspect;
      outline.sample(x, y, sample);
      const level = Math.round(sample.coverage * fadeAtBorder(column, row) * 255);
      if (!(level > 0)) continue;
      cover[row * maskCells + column] = level;
      skin[row * maskCells + column] = sample.inside && !isInEllipse(mouth, x, y) ? 1 : 0;
      area.left = Math.min(area.left, column);
      area.right = Math.max(area.right, column + 1);
      area.top = Math.min(area.top, row);
      area.bottom = row + 1;
    }
  }
}

function fadeAtBorder(column: number, row: number): number {
  const cells = Math.min(column, maskCells - 1 - column, row, maskCells - 1 - row);
  return Math.min(1, cells / borderCells);
}

function isInEllipse({ x, y, radiusX, radiusY }: Ellipse, placeX: number, placeY: number): boolean {
  return ((placeX - x) / radiusX) ** 2 + ((placeY - y) / radiusY) ** 2 < 1;
}
