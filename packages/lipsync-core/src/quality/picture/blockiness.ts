import { at } from '../../image/math.ts';
import type { Plane } from '../../image/planes.ts';

const blockPx = 8;
/** Rows that are measured in a picture. */
const rowCount = 60;

/** Steps between neighboring pixels on and off the borders of blocks. */
export class BlockinessMeter {
  #onBorders = 0;
  #borderCount = 0;
  #offBorders = 0;
  #otherCount = 0;

  /** Adds a luma plane. */
  add({ data, start, width, height }: Plane): void {
    const rowStep = Math.max(1, height / rowCount);
    for (let y = rowStep / 2; y < height; y += rowStep) {
      const row = start + Math.floor(y) * width;
      for (let x = blockPx; x < width - 2; x += 1) {
        const index = row + x;
        const step = Math.abs(at(data, index) - at(data, index - 1));
        const before = Math.abs(at(data, index - 1) - at(data, index - 2));
        const after = Math.abs(at(data, index + 1) - at(data, index));
        const excess = step + step > before + after ? step - (before + after) / 2 : 0;
        if (x % blockPx === 0) {
          this.#onBorders += excess;
          this.#borderCount += 1;
        } else {
          this.#offBorders += excess;
          this.#otherCount += 1;
        }
      }
    }
  }

  /** Mean excess of the steps at block borders over other steps, relative to the latter; null without samples. */
  finish(): number | null {
    if (this.#borderCount === 0 || this.#otherCount === 0) return null;
    const on = this.#onBorders / this.#borderCount;
    const off = this.#offBorders / this.#otherCount;
    return (on + smallStep) / (off + smallStep);
  }
}

/** Keeps the ratio of two tiny steps near 1, in levels. */
const smallStep = 0.2;
