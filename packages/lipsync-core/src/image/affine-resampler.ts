import type { AffineTransform, Plane } from './planes.ts';
import { kernelWeightBits, phaseBits, ResampleKernel, type Interpolation } from './resample-kernels.ts';

/** Fraction bits of resampled values: fixed point in 1/64 levels, with room in 16 bits for the overshoot of cubics. */
export const valueFractionBits = 6;

export interface ResampleTarget {
  /** `columns × rows` values with `valueFractionBits` fraction bits. */
  readonly values: Int16Array;
  readonly columns: number;
  readonly rows: number;
  /** First column and exclusive end of each row, in pairs; only these are written. Absent for the whole target. */
  readonly spans?: Int32Array;
}

/** The transform split into a pass along source lines and a pass across them. */
interface Passes {
  /** Position along a line for column 0 of line 0, and its change per column and per line. */
  along: number;
  alongPerColumn: number;
  alongPerLine: number;
  /** Line for the target's origin, and its change per column and per row. */
  across: number;
  acrossPerColumn: number;
  acrossPerRow: number;
  /**
   * Index steps to the next pixel and line. Lines are columns of the source when the target is rotated by more than
   * 45°.
   */
  pixelStep: number;
  lineStep: number;
  length: number;
  lines: number;
}

/** Positions are fixed point in 1/65536 pixel. */
const positionBits = 16;
const positionOne = 1 << positionBits;
const phaseShift = positionBits - phaseBits;
const phaseMask = (1 << phaseBits) - 1;
/** Half a phase, so that truncation rounds to the nearest phase. */
const halfPhase = 1 << (phaseShift - 1);
const firstPassShift = kernelWeightBits - valueFractionBits;
const firstPassHalf = 1 << (firstPassShift - 1);
const secondPassHalf = 1 << (kernelWeightBits - 1);

/**
 * Resamples planes through affine transforms in two passes (Catmull and Smith, "3-D transformations of images in
 * scanline order", 1980): every source line is resampled to the target's columns, then every column to the target's
 * rows. Keeps its memory between calls.
 */
export class AffineResampler {
  readonly #alongKernel = new ResampleKernel();
  readonly #acrossKernel = new ResampleKernel();
  /** Source lines at the target's columns, from `#firstLine` on. */
  #intermediate = new Int16Array(0);
  #firstLine = 0;
  /** Columns of the current line that the target needs. */
  readonly #span = { first: 0, end: 0 };

  /** Fills `target`. Points outside the source take the value of the nearest edge pixel. */
  resample(source: Plane, transform: AffineTransform, target: ResampleTarget, interpolation: Interpolation): void {
    const passes = planPasses(source, transform);
    const kernel = this.#acrossKernel;
    this.#alongKernel.setStep(passes.alongPerColumn, interpolation);
    kernel.setStep(passes.acrossPerRow, interpolation);
    const { columns, rows } = target;
    const acrossColumns = passes.acrossPerColumn * columns;
    const acrossRows = passes.acrossPerRow * rows;
    const lowest = passes.across + Math.min(0, acrossColumns) + Math.min(0, acrossRows);
    const highest = passes.across + Math.max(0, acrossColumns) + Math.max(0, acrossRows);
    const firstLine = Math.floor(lowest + kernel.offset) - 1;
    const endLine = Math.ceil(highest + kernel.offset) + kernel.taps + 1;
    const needed = (endLine - firstLine) * columns;
    if (this.#intermediate.length < needed) this.#intermediate = new Int16Array(needed);
    this.#firstLine = firstLine;
    for (let line = firstLine; line < endLine; line += 1) {
      setSpan(this.#span, passes, line, { taps: kernel.taps, columns, acrossRows });
      this.#resampleLine(source, passes, line, columns);
    }
    for (let row = 0; row < rows; row += 1) this.#resampleRow(passes, row, target);
  }

  /**
   * First pass for one source line. The loop is unrolled because this method and the next one dominate the run time.
   */
  #resampleLine({ data, start }: Plane, passes: Passes, line: number, columns: number): void {
    const { offset, taps, weights } = this.#alongKernel;
    const { pixelStep, length } = passes;
    const { first, end } = this.#span;
    const output = this.#intermediate;
    const outputStart = (line - this.#firstLine) * columns;
    const lineStart = start + Math.min(Math.max(line, 0), passes.lines - 1) * passes.lineStep;
    const step = Math.round(passes.alongPerColumn * positionOne) | 0;
    const last = length - taps;
    const two = pixelStep * 2;
    const three = pixelStep * 3;
    const firstPx = passes.along + passes.alongPerLine * line + passes.alongPerColumn * first + offset;
    let position = (Math.round(firstPx * positionOne) + halfPhase) | 0;
    for (let column = first; column < end; column += 1) {
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

  /** Second pass for one target row. */
  #resampleRow(passes: Passes, row: number, target: ResampleTarget): void {
    const { offset, taps, weights } = this.#acrossKernel;
    const { values, columns } = target;
    const { acrossPerColumn } = passes;
    const lines = this.#intermediate;
    const step = Math.round(acrossPerColumn * positionOne) | 0;
    const start = row * columns;
    const first = target.spans?.[row * 2] ?? 0;
    const end = target.spans?.[row * 2 + 1] ?? columns;
    const firstPx =
      passes.across + passes.acrossPerRow * (row + 0.5) + acrossPerColumn * (first + 0.5) + offset - this.#firstLine;
    let position = (Math.round(firstPx * positionOne) + halfPhase) | 0;
    const two = columns * 2;
    const three = columns * 3;
    for (let column = first; column < end; column += 1) {
      const weight = Math.imul((position >> phaseShift) & phaseMask, taps);
      let index = Math.imul(position >> positionBits, columns) + column;
      let sum =
        secondPassHalf +
        (weights[weight] ?? 0) * (lines[index] ?? 0) +
        (weights[weight + 1] ?? 0) * (lines[index + columns] ?? 0) +
        (weights[weight + 2] ?? 0) * (lines[index + two] ?? 0) +
        (weights[weight + 3] ?? 0) * (lines[index + three] ?? 0);
      for (let tap = 4; tap < taps; tap += 2) {
        index += two;
        sum +=
          (weights[weight + tap] ?? 0) * (lines[index + two] ?? 0) +
          (weights[weight + tap + 1] ?? 0) * (lines[index + three] ?? 0);
      }
      values[start + column] = sum >> kernelWeightBits;
      position = (position + step) | 0;
    }
  }
}

function planPasses({ width, height }: Plane, transform: AffineTransform): Passes {
  const isTransposed = Math.abs(transform.downX) > Math.abs(transform.downY);
  const [x, acrossX, downX] = isTransposed
    ? [transform.y, transform.acrossY, transform.downY]
    : [transform.x, transform.acrossX, transform.downX];
  const [y, acrossY, downY] = isTransposed
    ? [transform.x, transform.acrossX, transform.downX]
    : [transform.y, transform.acrossY, transform.downY];
  const slope = downX / downY;
  const alongPerColumn = acrossX - slope * acrossY;
  return {
    // Sampling at pixel centers adds half a pixel and half a line.
    along: x + slope * (0.5 - y) + 0.5 * alongPerColumn,
    alongPerColumn,
    alongPerLine: slope,
    across: y,
    acrossPerColumn: acrossY,
    acrossPerRow: downY,
    pixelStep: isTransposed ? width : 1,
    lineStep: isTransposed ? 1 : width,
    length: isTransposed ? height : width,
    lines: isTransposed ? width : height,
  };
}

/** Sets the target's columns that need this line. A rotated target needs each line in some of its columns only. */
function setSpan(
  span: { first: number; end: number },
  { across, acrossPerColumn }: Passes,
  line: number,
  { taps, columns, acrossRows }: { readonly taps: number; readonly columns: number; readonly acrossRows: number },
): void {
  span.first = 0;
  span.end = columns;
  if (Math.abs(acrossPerColumn) * columns < 1) return;
  const low = (line - taps - across - Math.max(0, acrossRows)) / acrossPerColumn;
  const high = (line + taps - across - Math.min(0, acrossRows)) / acrossPerColumn;
  span.first = Math.max(0, Math.floor(Math.min(low, high)) - 1);
  span.end = Math.max(span.first, Math.min(columns, Math.ceil(Math.max(low, high)) + 1));
}
