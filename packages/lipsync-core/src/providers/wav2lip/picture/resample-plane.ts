import { createResampleKernel, phases, setResampleKernel, type ResampleKernel, type Smoothness } from './resample-kernel.ts';

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

export interface PlaneTarget {
  readonly values: Float32Array;
  readonly columns: number;
  readonly rows: number;
}

/** Resamples planes along straight, also tilted lines. Keeps its memory between calls. */
export interface PlaneResampler {
  /** Fills the target's first `columns × rows` values. Places outside the source take the nearest edge's value. */
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
  let between = new Float32Array(0);
  return {
    resample(source, map, target, smoothness) {
      const passes = planPasses(source, map);
      setResampleKernel(alongKernel, passes.alongPerColumn, smoothness);
      setResampleKernel(acrossKernel, passes.acrossPerRow, smoothness);
      const { columns, rows } = target;
      const lowest = passes.across + Math.min(0, passes.acrossPerColumn * columns) + Math.min(0, passes.acrossPerRow * rows);
      const highest = passes.across + Math.max(0, passes.acrossPerColumn * columns) + Math.max(0, passes.acrossPerRow * rows);
      const firstLine = Math.floor(lowest + acrossKernel.offset) - 1;
      const endLine = Math.ceil(highest + acrossKernel.offset) + acrossKernel.taps + 1;
      const needed = (endLine - firstLine) * columns;
      if (between.length < needed) between = new Float32Array(needed);
      for (let line = firstLine; line < endLine; line += 1) {
        resampleLine(source, passes, alongKernel, line, between, (line - firstLine) * columns, columns);
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
    along: x + slope * (0.5 - y) + 0.5 * alongPerColumn, alongPerColumn, alongPerLine: slope,
    across: y, acrossPerColumn: acrossY, acrossPerRow: downY,
    pixelStep: turned ? width : 1, lineStep: turned ? 1 : width,
    length: turned ? height : width, lines: turned ? width : height,
  };
}

function resampleLine(
  { data, start }: Plane, passes: Passes, { offset, taps, weights }: ResampleKernel, line: number,
  output: Float32Array, outputStart: number, columns: number,
): void {
  const { pixelStep, length } = passes;
  const lineStart = start + Math.min(Math.max(line, 0), passes.lines - 1) * passes.lineStep;
  // Half a phase more, so that cutting off rounds to the nearest phase.
  const first = (passes.along + passes.alongPerLine * line + offset) * phases + 0.5;
  const step = passes.alongPerColumn * phases;
  const last = length - taps;
  for (let column = 0; column < columns; column += 1) {
    const fine = Math.floor(first + step * column);
    const pixel = fine >> 6;
    let weight = (fine & (phases - 1)) * taps;
    let sum = 0;
    if (pixel >= 0 && pixel <= last) {
      let index = lineStart + pixel * pixelStep;
      for (let tap = 0; tap < taps; tap += 1) {
        sum += (weights[weight] ?? 0) * (data[index] ?? 0);
        weight += 1;
        index += pixelStep;
      }
    } else {
      for (let tap = 0; tap < taps; tap += 1) {
        const inside = Math.min(Math.max(pixel + tap, 0), length - 1);
        sum += (weights[weight + tap] ?? 0) * (data[lineStart + inside * pixelStep] ?? 0);
      }
    }
    output[outputStart + column] = sum;
  }
}

function resampleRow(passes: Passes, { offset, taps, weights }: ResampleKernel, row: number, between: Float32Array, firstLine: number, target: PlaneTarget): void {
  const { values, columns } = target;
  const { acrossPerColumn } = passes;
  const first = (passes.across + passes.acrossPerRow * (row + 0.5) + 0.5 * acrossPerColumn + offset - firstLine) * phases + 0.5;
  const step = acrossPerColumn * phases;
  const start = row * columns;
  for (let column = 0; column < columns; column += 1) {
    const fine = (first + step * column) | 0;
    let weight = (fine & (phases - 1)) * taps;
    let index = (fine >> 6) * columns + column;
    let sum = 0;
    for (let tap = 0; tap < taps; tap += 1) {
      sum += (weights[weight] ?? 0) * (between[index] ?? 0);
      weight += 1;
      index += columns;
    }
    values[start + column] = sum;
  }
}
