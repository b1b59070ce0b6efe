import { at, clamp, mix, smoothStep } from '../../../image/math.ts';
import type { HeadPose } from './head-pose.ts';
import { curveSamples, type LipCurves } from './lip-curves.ts';
import type { WarpField } from './warp-field.ts';

/** The lips of the frame that is being drawn. */
export interface LipLine {
  readonly curves: Readonly<LipCurves>;
  /** Vertical extent of the opening with its soft edges, head units. */
  top: number;
  bottom: number;
  /** Softness of the lip edges, pixels. */
  featherPx: number;
  /** Darkness (0–1) and width of the crease between touching lips. */
  creaseStrength: number;
  creaseWidthPx: number;
  /** How much (0–1) of what the clip shows above the lower lip stays visible. */
  jawShown: number;
}

/** Sets the extent of the opening from the curves. */
export function updateLipLineExtent(line: LipLine, pose: HeadPose): void {
  line.top = Number.POSITIVE_INFINITY;
  line.bottom = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < curveSamples; k += 1) {
    line.top = Math.min(line.top, at(line.curves.innerUpper, k));
    line.bottom = Math.max(line.bottom, at(line.curves.innerLower, k));
  }
  const margin = (line.featherPx + 3 * line.creaseWidthPx + 1) / pose.scale;
  line.top -= margin;
  line.bottom += margin;
}

/**
 * Part of the opening, from the upper lip down, over which the clip's own interior changes from the upper teeth, which
 * stay where they are, to the movement of the jaw; and distance by which the upper lip rises until the interior rises
 * with it.
 */
const ownInterior = { jawFrom: 0.45, jawTo: 0.8, risePx: 0.5 } as const;

/** Softness of the edges of a narrow gap relative to its height, so that they do not meet and hide what lies between. */
const featherOfGap = 0.35;
const sharpestFeatherPx = 0.8;

/** Smaller displacements are skipped: they are invisible, and skin that hardly moves stays bit-identical. */
const smallestShiftPx = 1 / 24;

/** A row of `count` pixels from (`x`, `y`) on, `pixelStep` luma pixels apart (1 for luma, 2 for chroma). */
export interface PixelRow {
  readonly x: number;
  readonly y: number;
  readonly pixelStep: number;
  readonly count: number;
}

/** Interpolates the warp field for single rows of pixels. Keeps its memory between frames. */
export class RowWarp {
  /** Pixels that change, `end` exclusive. */
  first = 0;
  end = 0;
  /** Pixels near the opening, `lipEnd` exclusive. The arrays after `shiftY` are valid for these only. */
  lipFirst = 0;
  lipEnd = 0;
  /** Displacement to the source of skin and lips, in luma pixels. */
  shiftX = new Float32Array(0);
  shiftY = new Float32Array(0);
  /** Displacement to the source of the clip's own mouth interior. */
  insideX = new Float32Array(0);
  insideY = new Float32Array(0);
  /** Displacement to the source of the other lip, and its alpha, which softens the seam of closed lips. */
  otherX = new Float32Array(0);
  otherY = new Float32Array(0);
  otherAlpha = new Float32Array(0);
  /** Alpha of the mouth interior. */
  alpha = new Float32Array(0);
  /** Light factor of the crease between touching lips. */
  light = new Float32Array(0);
  readonly #field: WarpField;
  readonly #pose: HeadPose;
  readonly #line: LipLine;
  /** The grid rows of the four displacement planes, interpolated to the height of the row. */
  #grid = new Float32Array(0);
  /** Grid column of pixel 0, and columns per pixel. */
  #startColumn = 0;
  #columnStep = 0;

  /** All three are read at every row. */
  constructor(field: WarpField, pose: HeadPose, line: LipLine) {
    this.#field = field;
    this.#pose = pose;
    this.#line = line;
  }

  /** Allocates memory for the rows of the field's region. Must be called once per frame. */
  allocate(): void {
    const { columns, region } = this.#field;
    const width = region.right - region.left;
    if (this.#grid.length < columns * 4) this.#grid = new Float32Array(columns * 4);
    if (this.shiftX.length >= width) return;
    this.shiftX = new Float32Array(width);
    this.shiftY = new Float32Array(width);
    this.insideX = new Float32Array(width);
    this.insideY = new Float32Array(width);
    this.otherX = new Float32Array(width);
    this.otherY = new Float32Array(width);
    this.otherAlpha = new Float32Array(width);
    this.alpha = new Float32Array(width);
    this.light = new Float32Array(width);
  }

  /** Maps one row of pixels to their sources. */
  mapRow(row: PixelRow): void {
    const { x, y, pixelStep, count } = row;
    const pose = this.#pose;
    const line = this.#line;
    const { columns, step, region } = this.#field;
    const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
    const downStep = (-pose.acrossY / determinant) * pixelStep;
    const down = ((y - pose.originY) * pose.acrossX - (x - pose.originX) * pose.acrossY) / determinant;
    const downAtEnd = down + downStep * count;
    this.#startColumn = (x - region.left) / step;
    this.#columnStep = pixelStep / step;
    this.lipFirst = 0;
    this.lipEnd = 0;
    if (Math.max(down, downAtEnd) > line.top && Math.min(down, downAtEnd) < line.bottom) {
      this.#interpolateGrid(y, true, true);
      this.#mapRowAcrossLips(row, down, downStep);
      return;
    }
    const isUpper = down < line.top;
    this.#interpolateGrid(y, isUpper, !isUpper);
    const plane = isUpper ? 0 : columns * 2;
    this.#findMovingPixels(plane, count);
    this.#mapOneSide(plane);
  }

  /** Interpolates the grid rows above and below `y`, of the upper and the lower field as needed. */
  #interpolateGrid(y: number, needsUpper: boolean, needsLower: boolean): void {
    const field = this.#field;
    const { columns } = field;
    const position = (y - field.region.top) / field.step;
    const row = clamp(Math.floor(position), 0, field.rows - 2);
    const fraction = position - row;
    if (needsUpper) {
      this.#interpolatePlane(field.upperX, row, fraction, 0);
      this.#interpolatePlane(field.upperY, row, fraction, columns);
    }
    if (needsLower) {
      this.#interpolatePlane(field.lowerX, row, fraction, columns * 2);
      this.#interpolatePlane(field.lowerY, row, fraction, columns * 3);
    }
  }

  #interpolatePlane(nodes: Float32Array, row: number, fraction: number, target: number): void {
    const { columns } = this.#field;
    const grid = this.#grid;
    const start = row * columns;
    for (let column = 0; column < columns; column += 1) {
      const above = nodes[start + column] ?? 0;
      grid[target + column] = above + ((nodes[start + columns + column] ?? 0) - above) * fraction;
    }
  }

  /**
   * Narrows the row to the pixels between the outermost grid nodes that move. `plane` is the start of an x plane in the
   * grid.
   */
  #findMovingPixels(plane: number, count: number): void {
    const { columns } = this.#field;
    const pixelsPerColumn = 1 / this.#columnStep;
    let first = 0;
    let last = columns - 1;
    while (first <= last && !this.#isMoving(plane + first)) first += 1;
    while (last > first && !this.#isMoving(plane + last)) last -= 1;
    this.first = first > last ? count : Math.max(0, Math.floor((first - 1) * pixelsPerColumn));
    this.end = Math.min(count, Math.ceil((last + 1) * pixelsPerColumn));
  }

  #isMoving(node: number): boolean {
    const grid = this.#grid;
    return Math.abs(at(grid, node)) + Math.abs(at(grid, node + this.#field.columns)) > smallestShiftPx;
  }

  /** Maps a row on one side of the opening. */
  #mapOneSide(plane: number): void {
    const { shiftX, shiftY } = this;
    const grid = this.#grid;
    const { columns } = this.#field;
    const startColumn = this.#startColumn;
    const columnStep = this.#columnStep;
    const { end } = this;
    for (let pixel = this.first; pixel < end; pixel += 1) {
      const position = startColumn + pixel * columnStep;
      const column = position | 0;
      const fraction = position - column;
      const node = plane + column;
      const fromX = grid[node] ?? 0;
      const fromY = grid[node + columns] ?? 0;
      shiftX[pixel] = fromX + ((grid[node + 1] ?? 0) - fromX) * fraction;
      shiftY[pixel] = fromY + ((grid[node + columns + 1] ?? 0) - fromY) * fraction;
    }
  }

  /**
   * Maps a row that crosses the opening: pixel by pixel between the corners, and on the corner's side of the seam
   * beside them.
   */
  #mapRowAcrossLips({ x, y, pixelStep, count }: PixelRow, down: number, downStep: number): void {
    const pose = this.#pose;
    const { curves } = this.#line;
    const grid = this.#grid;
    const { columns } = this.#field;
    const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
    const acrossStep = (pose.downY / determinant) * pixelStep;
    const across = ((x - pose.originX) * pose.downY - (y - pose.originY) * pose.downX) / determinant;
    this.first = 0;
    this.end = count;
    this.lipFirst = count;
    const leftSeam = at(curves.innerUpper, 0);
    const rightSeam = at(curves.innerUpper, curveSamples - 1);
    for (let pixel = 0; pixel < count; pixel += 1) {
      const v = down + pixel * downStep;
      const u = across + pixel * acrossStep;
      if (u > curves.left && u < curves.right) {
        this.#mapLipPixel(pixel, u, v);
        if (pixel < this.lipFirst) this.lipFirst = pixel;
        this.lipEnd = pixel + 1;
        continue;
      }
      const position = this.#startColumn + pixel * this.#columnStep;
      const column = position | 0;
      const fraction = position - column;
      const node = v < (u <= curves.left ? leftSeam : rightSeam) ? column : column + columns * 2;
      this.shiftX[pixel] = mix(at(grid, node), at(grid, node + 1), fraction);
      this.shiftY[pixel] = mix(at(grid, node + columns), at(grid, node + columns + 1), fraction);
    }
  }

  /** Maps a pixel between the corners to both lips and computes the alpha of the mouth interior. */
  #mapLipPixel(pixel: number, u: number, v: number): void {
    const line = this.#line;
    const { curves } = line;
    const { scale } = this.#pose;
    this.alpha[pixel] = 0;
    this.light[pixel] = 1;
    const width = curves.right - curves.left;
    const position = clamp((u - curves.left) / width, 0, 1) * (curveSamples - 1);
    const k = Math.min(curveSamples - 2, Math.floor(position));
    const t = position - k;
    const upper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), t);
    const lower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), t);
    const inside = lower > upper ? clamp((v - upper) / (lower - upper), 0, 1) : 0;
    this.#mapToBothLips(pixel, v - upper < lower - v, inside);
    this.otherAlpha[pixel] = clamp(
      0.5 - (Math.abs(v - (upper + lower) / 2) * scale) / Math.max(1, line.featherPx),
      0,
      0.5,
    );
    const sampleDistance = width / (curveSamples - 1);
    const upperSlope = (at(curves.innerUpper, k + 1) - at(curves.innerUpper, k)) / sampleDistance;
    const lowerSlope = (at(curves.innerLower, k + 1) - at(curves.innerLower, k)) / sampleDistance;
    const belowUpperPx = ((v - upper) * scale) / Math.sqrt(1 + upperSlope * upperSlope);
    const aboveLowerPx = ((lower - v) * scale) / Math.sqrt(1 + lowerSlope * lowerSlope);
    const depthPx = Math.min(belowUpperPx, aboveLowerPx);
    if (line.creaseStrength > 0) {
      const fromCrease = Math.max(0, -depthPx) / line.creaseWidthPx;
      const ends = Math.min(1, (8 * Math.min(position, curveSamples - 1 - position)) / (curveSamples - 1));
      this.light[pixel] = 1 - line.creaseStrength * ends * Math.exp(-fromCrease * fromCrease);
    }
    const gapPx = (lower - upper) * scale;
    if (gapPx <= 0) return;
    const featherPx = clamp(gapPx * featherOfGap, Math.min(sharpestFeatherPx, line.featherPx), line.featherPx);
    this.alpha[pixel] = clamp(depthPx / featherPx + 0.5, 0, 1) * Math.min(1, gapPx / (2 * featherPx));
  }

  /**
   * Interpolates both fields: the nearer lip is the source, and the other one softens the seam. The clip's own interior
   * follows the skull in its upper part and the jaw in its lower one; `inside` is 0 at the upper lip and 1 at the lower
   * one.
   */
  #mapToBothLips(pixel: number, isUpper: boolean, inside: number): void {
    const grid = this.#grid;
    const { columns } = this.#field;
    const position = this.#startColumn + pixel * this.#columnStep;
    const column = position | 0;
    const fraction = position - column;
    const upperX = mix(at(grid, column), at(grid, column + 1), fraction);
    const upperY = mix(at(grid, column + columns), at(grid, column + columns + 1), fraction);
    const lowerX = mix(at(grid, column + columns * 2), at(grid, column + columns * 2 + 1), fraction);
    const lowerY = mix(at(grid, column + columns * 3), at(grid, column + columns * 3 + 1), fraction);
    this.shiftX[pixel] = isUpper ? upperX : lowerX;
    this.shiftY[pixel] = isUpper ? upperY : lowerY;
    this.otherX[pixel] = isUpper ? lowerX : upperX;
    this.otherY[pixel] = isUpper ? lowerY : upperY;
    const ofJaw = smoothStep(ownInterior.jawFrom, ownInterior.jawTo, inside) * this.#line.jawShown;
    // The lip slides over the upper teeth, unless it uncovers what the clip does not show.
    const risePx = (upperX * this.#pose.downX + upperY * this.#pose.downY) / this.#pose.scale;
    const ofLip = smoothStep(-ownInterior.risePx, ownInterior.risePx, risePx);
    this.insideX[pixel] = mix(upperX * ofLip, lowerX, ofJaw);
    this.insideY[pixel] = mix(upperY * ofLip, lowerY, ofJaw);
  }
}
