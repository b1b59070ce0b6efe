import { FeatheredPolygon, type CoverageSample } from '../../../image/feathered-polygon.ts';
import type { FacePlacement } from './face-crop.ts';

/** Side of the mask, which covers the face box. The mask is soft, so this resolution suffices for any crop size. */
export const maskSidePx = 48;

/** The region of a face box that is replaced. */
export interface MouthMask {
  /** Alpha in row-major order, `maskSidePx²` values, 0 to 255. */
  readonly coverage: Uint8Array;
  /** 1 for skin around the mouth, where the generated face should equal the original; otherwise 0. */
  readonly skin: Uint8Array;
  /** Bounding box of the non-zero coverage; empty when there is none. */
  readonly area: MaskArea;
}

/** In mask pixels; `right` and `bottom` are exclusive. */
interface MaskArea {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** A vertex of the mask polygon. All distances are shares of the box height. */
interface MaskVertex {
  readonly landmark: number;
  /** Distance of the vertex outside of its landmark. */
  readonly outset: number;
  /** Feather width inside and outside of the polygon. */
  readonly inner: number;
  readonly outer: number;
}

/**
 * Mouth and jaw: below the nose, between the cheeks, to slightly below the chin, where the box ends. The feather is
 * wide on the cheeks, which are smooth, and narrow at the jaw, behind which neck and background begin.
 */
const vertices: readonly MaskVertex[] = [
  ...verticesAt([58, 172], { outset: 0, inner: 0.06, outer: 0.02 }),
  ...verticesAt([136, 150, 149], { outset: 0.012, inner: 0.04, outer: 0.025 }),
  ...verticesAt([176, 148, 152, 377, 400], { outset: 0.016, inner: 0.018, outer: 0.03 }),
  ...verticesAt([378, 379, 365], { outset: 0.012, inner: 0.04, outer: 0.025 }),
  ...verticesAt([397, 288], { outset: 0, inner: 0.06, outer: 0.02 }),
  ...verticesAt([361, 425], { outset: 0, inner: 0.1, outer: 0.02 }),
  ...verticesAt([327, 2, 98], { outset: 0, inner: 0.035, outer: 0.015 }),
  ...verticesAt([205, 132], { outset: 0, inner: 0.1, outer: 0.02 }),
];

function verticesAt(landmarks: readonly number[], shape: Omit<MaskVertex, 'landmark'>): readonly MaskVertex[] {
  return landmarks.map((landmark) => ({ landmark, ...shape }));
}

/** Landmarks of the mouth corners and of the outer lip centers. */
const lips = { left: 61, right: 291, upper: 0, lower: 17 } as const;
/** Size of the ellipse that is excluded from the skin, relative to the lips. */
const lipsScale = 1.25;
/** Width in mask pixels of the fade at the box border, beyond which nothing was generated. */
const borderFadePx = 2;

/** An axis-aligned ellipse in box coordinates. */
interface Ellipse {
  x: number;
  y: number;
  radiusX: number;
  radiusY: number;
}

/** Renders mouth masks. Reuses its buffers: a mask is valid until the next call of `render`. */
export class MouthMaskRenderer {
  readonly #polygon = new FeatheredPolygon(vertices.length);
  readonly #mouth: Ellipse = { x: 0, y: 0, radiusX: 0, radiusY: 0 };
  readonly #bounds: MaskArea = { left: 0, top: 0, right: 0, bottom: 0 };
  readonly #mask: MouthMask = {
    coverage: new Uint8Array(maskSidePx * maskSidePx),
    skin: new Uint8Array(maskSidePx * maskSidePx),
    area: { left: 0, top: 0, right: 0, bottom: 0 },
  };

  constructor() {
    for (const [index, { inner, outer }] of vertices.entries()) {
      this.#polygon.innerFeather[index] = inner;
      this.#polygon.outerFeather[index] = outer;
    }
  }

  /** The first row of the mask that `render` would return: its `area.top`, or `maskSidePx` for an empty mask. */
  topRow(placement: FacePlacement, points: Float32Array): number {
    const aspectRatio = placement.width / placement.height;
    setPolygon(this.#polygon, placement, points);
    setBounds(this.#bounds, this.#polygon, aspectRatio);
    const { left, top, right, bottom } = this.#bounds;
    const sample: CoverageSample = { coverage: 0, inside: false };
    for (let row = top; row < bottom; row += 1) {
      for (let column = left; column < right; column += 1)
        if (alphaAt(this.#polygon, { row, column, aspectRatio }, sample) > 0) return row;
    }
    return maskSidePx;
  }

  render(placement: FacePlacement, points: Float32Array): MouthMask {
    const aspectRatio = placement.width / placement.height;
    setPolygon(this.#polygon, placement, points);
    setMouth(this.#mouth, placement, points);
    setBounds(this.#bounds, this.#polygon, aspectRatio);
    fillMask(this.#mask, this.#bounds, { polygon: this.#polygon, mouth: this.#mouth, aspectRatio });
    return this.#mask;
  }
}

/** Horizontal box coordinate of a landmark, relative to the box center in units of the box height. */
function acrossBox({ centerX, centerY, height, roll }: FacePlacement, points: Float32Array, landmark: number): number {
  return (
    (((points[landmark * 3] ?? NaN) - centerX) * Math.cos(roll) +
      ((points[landmark * 3 + 1] ?? NaN) - centerY) * Math.sin(roll)) /
    height
  );
}

/** Vertical box coordinate of a landmark, in the same units. */
function downBox({ centerX, centerY, height, roll }: FacePlacement, points: Float32Array, landmark: number): number {
  return (
    (((points[landmark * 3 + 1] ?? NaN) - centerY) * Math.cos(roll) -
      ((points[landmark * 3] ?? NaN) - centerX) * Math.sin(roll)) /
    height
  );
}

/** Moves the polygon to the landmarks; each vertex is pushed away from the centroid by its outset. */
function setPolygon(polygon: FeatheredPolygon, placement: FacePlacement, points: Float32Array): void {
  const { vertexX, vertexY } = polygon;
  let centroidX = 0;
  let centroidY = 0;
  for (const [index, { landmark }] of vertices.entries()) {
    const x = acrossBox(placement, points, landmark);
    const y = downBox(placement, points, landmark);
    vertexX[index] = x;
    vertexY[index] = y;
    centroidX += x / vertices.length;
    centroidY += y / vertices.length;
  }
  for (const [index, { outset }] of vertices.entries()) {
    const offsetX = (vertexX[index] ?? 0) - centroidX;
    const offsetY = (vertexY[index] ?? 0) - centroidY;
    const scale = outset / (Math.hypot(offsetX, offsetY) + Number.MIN_VALUE);
    vertexX[index] = (vertexX[index] ?? 0) + offsetX * scale;
    vertexY[index] = (vertexY[index] ?? 0) + offsetY * scale;
  }
  polygon.updateEdges();
}

function setMouth(mouth: Ellipse, placement: FacePlacement, points: Float32Array): void {
  const left = acrossBox(placement, points, lips.left);
  const right = acrossBox(placement, points, lips.right);
  const upper = downBox(placement, points, lips.upper);
  const lower = downBox(placement, points, lips.lower);
  mouth.x = (left + right) / 2;
  mouth.y = (upper + lower) / 2;
  mouth.radiusX = (Math.abs(right - left) / 2) * lipsScale;
  mouth.radiusY = (Math.abs(lower - upper) / 2) * lipsScale;
}

/** Sets `bounds` to the mask pixels that the polygon and its feather can reach. */
function setBounds(bounds: MaskArea, { vertexX, vertexY }: FeatheredPolygon, aspectRatio: number): void {
  let left = Infinity;
  let top = Infinity;
  let right = -Infinity;
  let bottom = -Infinity;
  for (const [index, { outer }] of vertices.entries()) {
    left = Math.min(left, (vertexX[index] ?? 0) - outer);
    right = Math.max(right, (vertexX[index] ?? 0) + outer);
    top = Math.min(top, (vertexY[index] ?? 0) - outer);
    bottom = Math.max(bottom, (vertexY[index] ?? 0) + outer);
  }
  bounds.left = clampToMask(Math.floor((left / aspectRatio + 0.5) * maskSidePx));
  bounds.right = clampToMask(Math.ceil((right / aspectRatio + 0.5) * maskSidePx));
  bounds.top = clampToMask(Math.floor((top + 0.5) * maskSidePx));
  bounds.bottom = clampToMask(Math.ceil((bottom + 0.5) * maskSidePx));
}

function clampToMask(position: number): number {
  return position > 0 ? Math.min(position, maskSidePx) : 0;
}

interface MaskShapes {
  readonly polygon: FeatheredPolygon;
  readonly mouth: Ellipse;
  /** Width of the face box divided by its height. */
  readonly aspectRatio: number;
}

function fillMask(
  { coverage, skin, area }: MouthMask,
  bounds: MaskArea,
  { polygon, mouth, aspectRatio }: MaskShapes,
): void {
  const sample: CoverageSample = { coverage: 0, inside: false };
  coverage.fill(0);
  skin.fill(0);
  area.left = area.top = maskSidePx;
  area.right = area.bottom = 0;
  for (let row = bounds.top; row < bounds.bottom; row += 1) {
    for (let column = bounds.left; column < bounds.right; column += 1) {
      const alpha = alphaAt(polygon, { row, column, aspectRatio }, sample);
      if (!(alpha > 0)) continue;
      coverage[row * maskSidePx + column] = alpha;
      const isSkin = sample.inside && !isInEllipse(mouth, acrossAt(column, aspectRatio), downAt(row));
      skin[row * maskSidePx + column] = isSkin ? 1 : 0;
      area.left = Math.min(area.left, column);
      area.right = Math.max(area.right, column + 1);
      area.top = Math.min(area.top, row);
      area.bottom = row + 1;
    }
  }
}

interface MaskPixel {
  readonly row: number;
  readonly column: number;
  /** Width of the face box divided by its height. */
  readonly aspectRatio: number;
}

/** Alpha of a mask pixel, 0 to 255. Leaves its sample of the polygon in `sample`. */
function alphaAt(polygon: FeatheredPolygon, { row, column, aspectRatio }: MaskPixel, sample: CoverageSample): number {
  polygon.sample(acrossAt(column, aspectRatio), downAt(row), sample);
  return Math.round(sample.coverage * borderFade(column, row) * 255);
}

/** Box coordinates of mask pixels, as in `acrossBox` and `downBox`. */
function acrossAt(column: number, aspectRatio: number): number {
  return ((column + 0.5) / maskSidePx - 0.5) * aspectRatio;
}

function downAt(row: number): number {
  return (row + 0.5) / maskSidePx - 0.5;
}

function borderFade(column: number, row: number): number {
  const distance = Math.min(column, maskSidePx - 1 - column, row, maskSidePx - 1 - row);
  return Math.min(1, distance / borderFadePx);
}

function isInEllipse({ x, y, radiusX, radiusY }: Ellipse, pointX: number, pointY: number): boolean {
  return ((pointX - x) / radiusX) ** 2 + ((pointY - y) / radiusY) ** 2 < 1;
}
