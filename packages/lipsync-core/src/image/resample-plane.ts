import {
  createResampleKernel,
  phaseBits,
  setResampleKernel,
  weightBits,
  type ResampleKernel,
  type Smoothness,
} from './resample-kernel.ts';

/** One plane of 8-bit values inside a larger array. */
export interface Plane {
  readonly data: Uint8Array;
  /** Index of its first value. */
  readonly start: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Where a target's places lie in a source: `x + acrossX·u + downX·v`, `y + acrossY·u + downY·v` for the place `u` columns
 * and `v` rows from the target's upper left corner. Both count from corners: the first pixel covers 0 … 1.
 */
export interface PlaneMap {
  readonly x: number;
  readonly y: number;
  readonly acrossX: number;
  readonly acrossY: number;
  readonly downX: number;
  readonly downY: number;
}

/** Resampled levels are whole numbers of 1/64: finer than needed, and cubics that overshoot still fit. */
export const levelBits = 6;

export interface PlaneTarget {
  /** Levels in 64ths. */
  readonly values: Int16Array;
  readonly columns: number;
  readonly rows: number;
  /** First column and end of what is wanted of each row, pair by pair; everything where there are none. */
  readonly spans?: Int32Array;
}

/** Resamples planes along straight, also tilted lines. Keeps its memory between calls. */
export interface PlaneResampler {
  /** Fills the target's first `columns × rows` values, or what is wanted of them. ConcurrencySlots outside the source take the nearest edge's value. */
  resample(source: Plane, map: PlaneMap, target: PlaneTarget, smoothness: Smoothness): void;
}

/** The map taken apart into two passes: along the source's lines, then across them. */
interface Passes {
  /** Position on a line for target column 0 of line 0, its change per column, and per line. */
  along: number;
  alongPerColumn: number;
  alongPerLine: number;
  /** Line for target place (0, 0), its change per column and per row. */
  across: number;
  acrossPerColumn: number;
  acrossPerRow: number;
  /** The source's layout as the passes see it: columns and rows change places when the target is turned by more than 45°. */
  pixelStep: number;
  lineStep: number;
  length: number;
  lines: number;
}

/**
 * A resampler in two passes (Catmull and Smith, "3-D transformations of images in scanline order", 1980): every source
 * line is resampled to the target's columns, then every column to the target's rows. Each pass is a short sum, so that
 * whole areas are averaged at little cost.
 */
export function createPlaneResampler(): PlaneResampler {
  const alongKernel = createResampleKernel();
  const acrossKernel = createResampleKernel();
  let between = new Int16Array(0);
  return {
    resample(source, map, target, smoothness) {
      const passes = planPasses(source, map);
      setResampleKernel(alongKernel, passes.alongPerColumn, smoothness);
      setResampleKernel(acrossKernel, passes.acrossPerRow, smoothness);
      const { columns, rows } = target;
      const lowest =
        passes.across + Math.min(0, passes.acrossPerColumn * columns) + Math.min(0, passes.acrossPerRow * rows);
      const highest =
        passes.across + Math.max(0, passes.acrossPerColumn * columns) + Math.max(0, passes.acrossPerRow * rows);
      const firstLine = Math.floor(lowest + acrossKernel.offset) - 1;
      const endLine = Math.ceil(highest + acrossKernel.offset) + acrossKernel.taps + 1;
      const needed = (endLine - firstLine) * columns;
      if (between.length < needed) between = new Int16Array(needed);
      for (let line = firstLine; line < endLine; line += 1) {
        const { first, end } = columnsOn(passes, line, acrossKernel.taps, target);
        resampleLine(source, passes, alongKernel, line, between, (line - firstLine) * columns, first, end);
      }
      for (let row = 0; row < rows; row += 1) resampleRow(passes, acrossKernel, row, between, firstLine, target);
    },
  };
}

function planPasses({ width, height }: Plane, map: PlaneMap): Passes {
  const turned = Math.abs(map.downX) > Math.abs(map.downY);
  const [x, acrossX, downX] = turned ? [map.y, map.acrossY, map.downY] : [map.x, map.acrossX, map.downX];
  const [y, acrossY, downY] = turned ? [map.x, map.acrossX, map.downX] : [map.y, map.acrossY, map.downY];
  const slope = downX / downY;
  const alongPerColumn = acrossX - slope * acrossY;
  return {
    // Pixels are looked at in their middles, half a pixel and half a line further.
    along: x + slope * (0.5 - y) + 0.5 * alongPerColumn,
    alongPerColumn,
    alongPerLine: slope,
    across: y,
    acrossPerColumn: acrossY,
    acrossPerRow: downY,
    pixelStep: turned ? width : 1,
    lineStep: turned ? 1 : width,
    length: turned ? height : width,
    lines: turned ? width : height,
  };
}

/** The target's columns that need this line; a tilted target needs each line in some of its columns only. */
function columnsOn(
  { across, acrossPerColumn, acrossPerRow }: Passes,
  line: number,
  taps: number,
  { columns, rows }: PlaneTarget,
): { readonly first: number; readonly end: number } {
  if (Math.abs(acrossPerColumn) * columns < 1) return { first: 0, end: columns };
  const low = (line - taps - across - Math.max(0, acrossPerRow * rows)) / acrossPerColumn;
  const high = (line + taps - across - Math.min(0, acrossPerRow * rows)) / acrossPerColumn;
  const first = Math.max(0, Math.floor(Math.min(low, high)) - 1);
  return { first, end: Math.max(first, Math.min(columns, Math.ceil(Math.max(low, high)) + 1)) };
}

/** Positions are counted in 65536ths of a pixel. */
const positionBits = 16;
const positionOne = 1 << positionBits;
const phaseShift = positionBits - phaseBits;
const phaseMask = (1 << phaseBits) - 1;
/** Half a phase, so that cutting off rounds to the nearest one. */
const halfPhase = 1 << (phaseShift - 1);
const firstPassShift = weightBits - levelBits;
const firstPassHalf = 1 << (firstPassShift - 1);
const secondPassHalf = 1 << (weightBits - 1);

/** Written out in full, like the next one, because most of a frame's time is spent in the two. */
function resampleLine(
  { data, start }: Plane,
  passes: Passes,
  { offset, taps, weights }: ResampleKernel,
  line: number,
  output: Int16Array,
  outputStart: number,
  firstColumn: number,
  endColumn: number,
): void {
  const { pixelStep, length } = passes;
  const lineStart = start + Math.min(Math.max(line, 0), passes.lines - 1) * passes.lineStep;
  const step = Math.round(passes.alongPerColumn * positionOne) | 0;
  const last = length - taps;
  const two = pixelStep * 2;
  const three = pixelStep * 3;
  let position =
    (Math.round(
      (passes.along + passes.alongPerLine * line + passes.alongPerColumn * firstColumn + offset) * positionOne,
    ) +
      halfPhase) |
    0;
  for (let column = firstColumn; column < endColumn; column += 1) {
    const pixel = position >> positionBits;
    const weight = Math.imul((position >> phaseShift) & phaseMask, taps);
    let sum = firstPassHalf;
    if (pixel >= 0 && pixel <= last) {
      let index = lineStart + Math.imul(pixel, pixelStep);
      sum +=
        (weights[weight] ?? 0) * (data[index] ?? 0) +
        (weights[weight + 1] ?? 0) * (data[index + pixelStep] ?? 0) +
        (weights[weight + 2] ?? 0) * (data[index + two] ?? 0) +
        (weights[weight + 3] ?? 0) * (data[index + three] ?? 0);
      for (let tap = 4; tap < taps; tap += 2) {
        index += two;
        sum +=
          (weights[weight + tap] ?? 0) * (data[index + two] ?? 0) +
          (weights[weight + tap + 1] ?? 0) * (data[index + three] ?? 0);
      }
    } else {
      for (let tap = 0; tap < taps; tap += 1) {
        const inside = Math.min(Math.max(pixel + tap, 0), length - 1);
        sum += (weights[weight + tap] ?? 0) * (data[lineStart + inside * pixelStep] ?? 0);
      }
    }
    output[outputStart + column] = sum >> firstPassShift;
    position = (position + step) | 0;
  }
}

function resampleRow(
  passes: Passes,
  { offset, taps, weights }: ResampleKernel,
  row: number,
  between: Int16Array,
  firstLine: number,
  target: PlaneTarget,
): void {
  const { values, columns } = target;
  const { acrossPerColumn } = passes;
  const step = Math.round(acrossPerColumn * positionOne) | 0;
  const start = row * columns;
  const firstColumn = target.spans?.[row * 2] ?? 0;
  const endColumn = target.spans?.[row * 2 + 1] ?? columns;
  let position =
    (Math.round(
      (passes.across + passes.acrossPerRow * (row + 0.5) + acrossPerColumn * (firstColumn + 0.5) + offset - firstLine) *
        positionOne,
    ) +
      halfPhase) |
    0;
  const two = columns * 2;
  const three = columns * 3;
  for (let column = firstColumn; column < endColumn; column += 1) {
    const weight = Math.imul((position >> phaseShift) & phaseMask, taps);
    let index = Math.imul(position >> positionBits, columns) + column;
    let sum =
      secondPassHalf +
      (weights[weight] ?? 0) * (between[index] ?? 0) +
      (weights[weight + 1] ?? 0) * (between[index + columns] ?? 0) +
      (weights[weight + 2] ?? 0) * (between[index + two] ?? 0) +
      (weights[weight + 3] ?? 0) * (between[index + three] ?? 0);
    for (let tap = 4; tap < taps; tap += 2) {
      index += two;
      sum +=
        (weights[weight + tap] ?? 0) * (between[index + two] ?? 0) +
        (weights[weight + tap + 1] ?? 0) * (between[index + three] ?? 0);
    }
    values[start + column] = sum >> weightBits;
    position = (position + step) | 0;
  }
}
