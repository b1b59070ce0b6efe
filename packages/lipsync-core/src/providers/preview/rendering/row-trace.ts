import type { HeadPose } from './head-pose.ts';
import { curveSamples, type LipCurves } from './lip-curves.ts';
import { at, clamp, mix } from '../../../image/math.ts';
import type { WarpField } from './warp-field.ts';

/** What is to be known of each pixel of one row of the region. */
export interface RowTrace {
  /** Pixels that change; the second is exclusive. */
  first: number;
  end: number;
  /** Pixels near the opening; the arrays after `shiftY` are filled for these only. The second is exclusive. */
  lipFirst: number;
  lipEnd: number;
  /** From where the skin or lip at this pixel comes, relative to it, in luma pixels. */
  shiftX: Float32Array;
  shiftY: Float32Array;
  /** The same for the inside of the clip's own mouth. */
  insideX: Float32Array;
  insideY: Float32Array;
  /** Where the other lip at this pixel comes from, and its share; it softens the line on which closed lips touch. */
  otherX: Float32Array;
  otherY: Float32Array;
  otherShare: Float32Array;
  /** Share of the pixel that shows the inside of the mouth. */
  cover: Float32Array;
  /** Share of the light that the fold between touching lips leaves. */
  light: Float32Array;
  /** Grid rows in between, for the four displacement planes. */
  grid: Float32Array;
}

export function createRowTrace(): RowTrace {
  const none = new Float32Array(0);
  return {
    first: 0,
    end: 0,
    lipFirst: 0,
    lipEnd: 0,
    shiftX: none,
    shiftY: none,
    insideX: none,
    insideY: none,
    otherX: none,
    otherY: none,
    otherShare: none,
    cover: none,
    light: none,
    grid: none,
  };
}

/** Makes room for rows of `width` pixels over `columns` grid nodes. */
export function sizeRowTrace(trace: RowTrace, width: number, columns: number): void {
  if (trace.grid.length < columns * 4) trace.grid = new Float32Array(columns * 4);
  if (trace.shiftX.length >= width) return;
  trace.shiftX = new Float32Array(width);
  trace.shiftY = new Float32Array(width);
  trace.insideX = new Float32Array(width);
  trace.insideY = new Float32Array(width);
  trace.otherX = new Float32Array(width);
  trace.otherY = new Float32Array(width);
  trace.otherShare = new Float32Array(width);
  trace.cover = new Float32Array(width);
  trace.light = new Float32Array(width);
}

/** The lips of the frame being drawn, ready for looking up pixels. */
export interface LipLine {
  readonly curves: Readonly<LipCurves>;
  /** Highest and lowest place that belongs to the opening, head units, with room for the soft edge. */
  top: number;
  bottom: number;
  /** Softness of the lips' edge, pixels. */
  featherPx: number;
  /** How much light the fold between touching lips takes, 0–1, and how wide it is in pixels. */
  foldStrength: number;
  foldWidthPx: number;
}

/** Measures where the opening lies. */
export function boundLipLine(line: LipLine, pose: HeadPose): void {
  line.top = Number.POSITIVE_INFINITY;
  line.bottom = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < curveSamples; k += 1) {
    line.top = Math.min(line.top, at(line.curves.innerUpper, k));
    line.bottom = Math.max(line.bottom, at(line.curves.innerLower, k));
  }
  const margin = (line.featherPx + 3 * line.foldWidthPx + 1) / pose.scale;
  line.top -= margin;
  line.bottom += margin;
}

/** Which of the two fields a row looks at: only near the lips is it both. */
type Side = 'upper' | 'lower' | 'both';

function interpolateGridRow(field: WarpField, y: number, side: Side, grid: Float32Array): void {
  const position = (y - field.region.top) / field.step;
  const row = clamp(Math.floor(position), 0, field.rows - 2);
  const share = position - row;
  const { columns } = field;
  const start = row * columns;
  if (side !== 'lower') {
    mixRows(field.upperX, start, columns, share, grid, 0);
    mixRows(field.upperY, start, columns, share, grid, columns);
  }
  if (side !== 'upper') {
    mixRows(field.lowerX, start, columns, share, grid, columns * 2);
    mixRows(field.lowerY, start, columns, share, grid, columns * 3);
  }
}

/** Mixes the grid row that begins at `start` with the one after it, into `grid` from `target` on. */
function mixRows(
  nodes: Float32Array,
  start: number,
  columns: number,
  share: number,
  grid: Float32Array,
  target: number,
): void {
  for (let column = 0; column < columns; column += 1) {
    const above = nodes[start + column] ?? 0;
    grid[target + column] = above + ((nodes[start + columns + column] ?? 0) - above) * share;
  }
}

/** Movements below this many pixels are left out: nobody sees them, and skin that hardly moves stays bit-identical. */
const smallestShiftPx = 1 / 24;

function movesAt(grid: Float32Array, column: number, columns: number): boolean {
  return Math.abs(at(grid, column)) + Math.abs(at(grid, column + columns)) > smallestShiftPx;
}

/** Narrows the row to the pixels between the outermost grid nodes that move on the side beginning at `side`. */
function findMovingPart(trace: RowTrace, side: number, columns: number, pixelsPerNode: number, count: number): void {
  let first = 0;
  let last = columns - 1;
  while (first <= last && !movesAt(trace.grid, side + first, columns)) first += 1;
  while (last > first && !movesAt(trace.grid, side + last, columns)) last -= 1;
  trace.first = first > last ? count : Math.max(0, Math.floor((first - 1) * pixelsPerNode));
  trace.end = Math.min(count, Math.ceil((last + 1) * pixelsPerNode));
}

/**
 * Follows one row of `count` pixels at height `y`, from `x` on in steps of `pixelStep` (1 for luma, 2 for chroma),
 * back to where they come from.
 */
export function traceRow(
  trace: RowTrace,
  field: WarpField,
  pose: HeadPose,
  line: LipLine,
  x: number,
  y: number,
  pixelStep: number,
  count: number,
): void {
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  const downStep = (-pose.acrossY / determinant) * pixelStep;
  const down = ((y - pose.originY) * pose.acrossX - (x - pose.originX) * pose.acrossY) / determinant;
  const downAtEnd = down + downStep * count;
  const { columns, step } = field;
  const start = (x - field.region.left) / step;
  const nodeStep = pixelStep / step;
  trace.lipFirst = 0;
  trace.lipEnd = 0;
  if (Math.max(down, downAtEnd) > line.top && Math.min(down, downAtEnd) < line.bottom) {
    interpolateGridRow(field, y, 'both', trace.grid);
    traceNearLips(trace, field, pose, line, x, y, pixelStep, start, nodeStep, down, downStep, count);
    return;
  }
  const isAbove = down < line.top;
  interpolateGridRow(field, y, isAbove ? 'upper' : 'lower', trace.grid);
  const plane = isAbove ? 0 : columns * 2;
  findMovingPart(trace, plane, columns, 1 / nodeStep, count);
  traceSide(trace, plane, columns, start, nodeStep);
}

/** Fills the shifts of a row that lies on one side of the lips. */
function traceSide(trace: RowTrace, side: number, columns: number, start: number, nodeStep: number): void {
  const { grid, shiftX, shiftY } = trace;
  for (let pixel = trace.first; pixel < trace.end; pixel += 1) {
    const position = start + pixel * nodeStep;
    const column = position | 0;
    const share = position - column;
    const node = side + column;
    const fromX = grid[node] ?? 0;
    const fromY = grid[node + columns] ?? 0;
    shiftX[pixel] = fromX + ((grid[node + 1] ?? 0) - fromX) * share;
    shiftY[pixel] = fromY + ((grid[node + columns + 1] ?? 0) - fromY) * share;
  }
}

/** Traces a row that crosses the opening's height: between the corners pixel by pixel, beside them on the corner's side of the seam. */
function traceNearLips(
  trace: RowTrace,
  field: WarpField,
  pose: HeadPose,
  line: LipLine,
  x: number,
  y: number,
  pixelStep: number,
  start: number,
  nodeStep: number,
  down: number,
  downStep: number,
  count: number,
): void {
  const { grid } = trace;
  const { columns } = field;
  const { curves } = line;
  const determinant = pose.acrossX * pose.downY - pose.acrossY * pose.downX;
  const acrossStep = (pose.downY / determinant) * pixelStep;
  const across = ((x - pose.originX) * pose.downY - (y - pose.originY) * pose.downX) / determinant;
  trace.first = 0;
  trace.end = count;
  trace.lipFirst = count;
  const leftCorner = at(curves.innerUpper, 0);
  const rightCorner = at(curves.innerUpper, curveSamples - 1);
  for (let pixel = 0; pixel < count; pixel += 1) {
    const position = start + pixel * nodeStep;
    const column = position | 0;
    const share = position - column;
    const v = down + pixel * downStep;
    const u = across + pixel * acrossStep;
    if (u > curves.left && u < curves.right) {
      traceLips(trace, pixel, pose, line, u, v, column, share, columns);
      if (pixel < trace.lipFirst) trace.lipFirst = pixel;
      trace.lipEnd = pixel + 1;
      continue;
    }
    const node = v < (u <= curves.left ? leftCorner : rightCorner) ? column : column + columns * 2;
    trace.shiftX[pixel] = mix(at(grid, node), at(grid, node + 1), share);
    trace.shiftY[pixel] = mix(at(grid, node + columns), at(grid, node + columns + 1), share);
  }
}

/** Decides for a pixel near the opening on which side of the seam it lies and how much of the inside it shows. */
function traceLips(
  trace: RowTrace,
  pixel: number,
  pose: HeadPose,
  line: LipLine,
  u: number,
  v: number,
  column: number,
  share: number,
  columns: number,
): void {
  const { curves } = line;
  trace.cover[pixel] = 0;
  trace.light[pixel] = 1;
  const width = curves.right - curves.left;
  const position = clamp((u - curves.left) / width, 0, 1) * (curveSamples - 1);
  const k = Math.min(curveSamples - 2, Math.floor(position));
  const t = position - k;
  const upper = mix(at(curves.innerUpper, k), at(curves.innerUpper, k + 1), t);
  const lower = mix(at(curves.innerLower, k), at(curves.innerLower, k + 1), t);
  const { grid } = trace;
  const upperX = mix(at(grid, column), at(grid, column + 1), share);
  const upperY = mix(at(grid, column + columns), at(grid, column + columns + 1), share);
  const lowerX = mix(at(grid, column + columns * 2), at(grid, column + columns * 2 + 1), share);
  const lowerY = mix(at(grid, column + columns * 3), at(grid, column + columns * 3 + 1), share);
  const isUpper = v - upper < lower - v;
  trace.shiftX[pixel] = isUpper ? upperX : lowerX;
  trace.shiftY[pixel] = isUpper ? upperY : lowerY;
  trace.otherX[pixel] = isUpper ? lowerX : upperX;
  trace.otherY[pixel] = isUpper ? lowerY : upperY;
  trace.otherShare[pixel] = clamp(0.5 - Math.abs(v - (upper + lower) / 2) * pose.scale, 0, 0.5);
  const run = width / (curveSamples - 1);
  const upperSlope = (at(curves.innerUpper, k + 1) - at(curves.innerUpper, k)) / run;
  const lowerSlope = (at(curves.innerLower, k + 1) - at(curves.innerLower, k)) / run;
  const below = ((v - upper) * pose.scale) / Math.sqrt(1 + upperSlope * upperSlope);
  const above = ((lower - v) * pose.scale) / Math.sqrt(1 + lowerSlope * lowerSlope);
  const gapPx = (lower - upper) * pose.scale;
  const depth = Math.min(below, above);
  if (line.foldStrength > 0) {
    const fromFold = Math.max(0, -depth) / line.foldWidthPx;
    const ends = Math.min(1, (8 * Math.min(position, curveSamples - 1 - position)) / (curveSamples - 1));
    trace.light[pixel] = 1 - line.foldStrength * ends * Math.exp(-fromFold * fromFold);
  }
  if (gapPx <= 0) return;
  trace.cover[pixel] = clamp(depth / line.featherPx + 0.5, 0, 1) * Math.min(1, gapPx / (2 * line.featherPx));
  const inside = clamp((v - upper) / (lower - upper), 0, 1);
  trace.insideX[pixel] = mix(upperX, lowerX, inside);
  trace.insideY[pixel] = mix(upperY, lowerY, inside);
}
