import { toByte } from '../../../image/math.ts';
import { maskCells, type MouthMask } from './mouth-mask.ts';

/** Finds how much the redrawn face has to be sharpened to look like the clip around it. */
export interface SharpnessMatcher {
  /** Looks at one frame's crops, `cropSizePx² × 3` BGR bytes each, and gives the amount for `sharpenRows`, which changes slowly. */
  observe(mask: MouthMask, source: Uint8Array, generated: Uint8Array): number;
  /** Forgets what was seen. */
  reset(): void;
}

const strongestAmount = 1;
/** Energy of rounding and coding noise: below it there is nothing to compare. */
const noiseEnergy = 4;
/** How much an amount of 1 raises the finest detail that the energies are measured on. */
const gainPerAmount = 0.75;
const share = 0.12;
/** Levels by which sharpening changes a pixel at most, so that edges get no bright seam. */
const largestChange = 14;

export function createSharpnessMatcher(cropSizePx: number): SharpnessMatcher {
  const cropPlaces = Int32Array.from({ length: maskCells }, (_, cell) => insideCrop(cell, cropSizePx));
  let amount = 0;
  let isFresh = true;
  return {
    observe(mask, source, generated) {
      const ratio =
        (detailEnergy(mask, source, cropSizePx, cropPlaces) + noiseEnergy) /
        (detailEnergy(mask, generated, cropSizePx, cropPlaces) + noiseEnergy);
      const wanted = Math.min(strongestAmount, Math.max(0, (Math.sqrt(ratio) - 1) / gainPerAmount));
      amount += (wanted - amount) * (isFresh ? 1 : share);
      isFresh = false;
      return amount;
    },
    reset() {
      isFresh = true;
    },
  };
}

/** Mean square of the second differences of green, which is most of luma, over the skin around the mouth; the mouth itself may rightly have changed. */
function detailEnergy({ skin, area }: MouthMask, crop: Uint8Array, cropSizePx: number, cropPlaces: Int32Array): number {
  let sum = 0;
  let count = 0;
  const rowBytes = cropSizePx * 3;
  for (let row = area.top; row < area.bottom; row += 1) {
    const rowStart = (cropPlaces[row] ?? 0) * rowBytes + 1;
    for (let column = area.left; column < area.right; column += 1) {
      if (skin[row * maskCells + column] === 0) continue;
      const index = rowStart + (cropPlaces[column] ?? 0) * 3;
      const detail =
        4 * (crop[index] ?? 0) -
        (crop[index - 3] ?? 0) -
        (crop[index + 3] ?? 0) -
        (crop[index - rowBytes] ?? 0) -
        (crop[index + rowBytes] ?? 0);
      sum += detail * detail;
      count += 1;
    }
  }
  return count === 0 ? 0 : sum / count;
}

/** The crop's row or column in the middle of a cell, with a neighbor on both sides. */
function insideCrop(cell: number, cropSizePx: number): number {
  return Math.min(cropSizePx - 2, Math.max(1, Math.floor(((cell + 0.5) / maskCells) * cropSizePx)));
}

/** Unsharp mask over rows `first` to `end` of a square plane: adds `amount` of what a 3 × 3 binomial blur takes away. Border pixels are only rounded. */
export function sharpenRows(
  plane: Float32Array,
  sizePx: number,
  first: number,
  end: number,
  amount: number,
  output: Uint8Array,
): void {
  for (let row = first; row < end; row += 1) {
    const atEdge = row === 0 || row === sizePx - 1;
    for (let column = 0; column < sizePx; column += 1) {
      const index = row * sizePx + column;
      const value = plane[index] ?? 0;
      if (atEdge || column === 0 || column === sizePx - 1) {
        output[index] = toByte(value);
        continue;
      }
      const above = index - sizePx;
      const below = index + sizePx;
      const blurred =
        ((plane[above - 1] ?? 0) +
          (plane[above + 1] ?? 0) +
          (plane[below - 1] ?? 0) +
          (plane[below + 1] ?? 0) +
          2 * ((plane[above] ?? 0) + (plane[below] ?? 0) + (plane[index - 1] ?? 0) + (plane[index + 1] ?? 0)) +
          4 * value) /
        16;
      const change = (value - blurred) * amount;
      output[index] = toByte(
        value + (change > largestChange ? largestChange : change < -largestChange ? -largestChange : change),
      );
    }
  }
}
