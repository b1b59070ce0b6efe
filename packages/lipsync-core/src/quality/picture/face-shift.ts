import { at, medianInPlace } from '../../image/math.ts';
import type { PixelArea } from '../../image/planes.ts';
import { eyeSpan, levelPerUnit, patchSide, type FacePatch } from './face-patch.ts';

/** Largest shift that is found, in cells: a twelfth of the eye distance. */
const reach = 4;
const searchSide = 2 * reach + 1;
/** A mean absolute value times this is the standard deviation of a normal distribution. */
const meanToDeviation = 1.2533;

/**
 * Measures how much the upper face of a take moves against that of its source from picture to picture. A constant shift
 * does not count.
 */
export class FaceShiftMeter {
  readonly #across: number[] = [];
  readonly #down: number[] = [];
  readonly #errors = new Float64Array(searchSide * searchSide);

  /** Adds two patches of one placement. Returns how far the take lies from the source, in cells. */
  add(take: FacePatch, source: FacePatch, eyes: Readonly<PixelArea>): number {
    const errors = this.#errors;
    let best = reach * searchSide + reach;
    for (let index = 0; index < errors.length; index += 1) {
      const shift = { across: (index % searchSide) - reach, down: Math.floor(index / searchSide) - reach };
      errors[index] = meanError(take.luma, source.luma, eyes, shift);
      if (at(errors, index) < at(errors, best)) best = index;
    }
    const [column, row] = [best % searchSide, Math.floor(best / searchSide)];
    const across = column - reach + (column > 0 && column < searchSide - 1 ? vertex(errors, best, 1) : 0);
    const down = row - reach + (row > 0 && row < searchSide - 1 ? vertex(errors, best, searchSide) : 0);
    this.#across.push(across);
    this.#down.push(down);
    return Math.hypot(across, down);
  }

  /** Standard deviation of the position, in percent of the distance between the eyes. */
  finish(): number {
    return ((deviation(this.#across) + deviation(this.#down)) * 100) / (2 * eyeSpan);
  }
}

function meanError(
  take: Int16Array,
  source: Int16Array,
  { left, top, right, bottom }: Readonly<PixelArea>,
  { across, down }: { readonly across: number; readonly down: number },
): number {
  let [error, count] = [0, 0];
  // Every second row is enough.
  for (let row = Math.max(top, reach); row < Math.min(bottom, patchSide - reach); row += 2)
    for (let column = Math.max(left, reach); column < Math.min(right, patchSide - reach); column += 1) {
      const cell = row * patchSide + column;
      const difference = ((take[cell + down * patchSide + across] ?? 0) - (source[cell] ?? 0)) * levelPerUnit;
      error += difference * difference;
      count += 1;
    }
  return error / Math.max(1, count);
}

/** Offset of the vertex of the parabola through a minimum and its two neighbors. */
function vertex(errors: Float64Array, index: number, step: number): number {
  const [before, after] = [at(errors, index - step), at(errors, index + step)];
  const curvature = before + after - 2 * at(errors, index);
  return curvature > 0 ? (before - after) / (2 * curvature) : 0;
}

function deviation(values: readonly number[]): number {
  const median = medianInPlace([...values]);
  const total = values.reduce((sum, value) => sum + Math.abs(value - median), 0);
  return (total * meanToDeviation) / Math.max(1, values.length);
}
