import { toByte } from '../../../image/math.ts';
import type { CropPair } from './color-match.ts';
import { maskSidePx, type MouthMask } from './mouth-mask.ts';

const maxAmount = 1;
/** Energy of rounding and compression noise, below which detail is not comparable. */
const noiseEnergy = 4;
/** Gain of the measured detail per unit of sharpening amount. */
const gainPerAmount = 0.75;
/** Smoothing factor of the exponential moving average over frames. */
const smoothing = 0.12;
/** Largest change of a pixel in levels, which prevents halos at edges. */
const maxChange = 14;

/** Estimates how much the generated face must be sharpened to match the detail of the clip. */
export class SharpnessMatcher {
  readonly #cropIndexes: Int32Array;
  #amount = 0;
  #isFresh = true;

  constructor(cropSizePx: number) {
    this.#cropIndexes = Int32Array.from({ length: maskSidePx }, (_, index) => interiorCropIndex(index, cropSizePx));
  }

  /** Updates the estimate with one frame; returns the amount for `sharpenRows`, 0 to 1, smoothed over frames. */
  observe(mask: MouthMask, { source, generated, sidePx }: CropPair): number {
    const ratio =
      (this.#detailEnergy(mask, source, sidePx) + noiseEnergy) /
      (this.#detailEnergy(mask, generated, sidePx) + noiseEnergy);
    const target = Math.min(maxAmount, Math.max(0, (Math.sqrt(ratio) - 1) / gainPerAmount));
    this.#amount += (target - this.#amount) * (this.#isFresh ? 1 : smoothing);
    this.#isFresh = false;
    return this.#amount;
  }

  /** Discards the history. */
  reset(): void {
    this.#isFresh = true;
  }

  /**
   * Mean squared Laplacian of the green channel, which dominates luma, over the skin around the mouth. The mouth is
   * excluded because its content may change.
   */
  #detailEnergy({ skin, area }: MouthMask, crop: Uint8Array, cropSizePx: number): number {
    const cropIndexes = this.#cropIndexes;
    let sum = 0;
    let count = 0;
    const rowBytes = cropSizePx * 3;
    for (let row = area.top; row < area.bottom; row += 1) {
      const rowStart = (cropIndexes[row] ?? 0) * rowBytes + 1;
      for (let column = area.left; column < area.right; column += 1) {
        if (skin[row * maskSidePx + column] === 0) continue;
        const index = rowStart + (cropIndexes[column] ?? 0) * 3;
        const laplacian =
          4 * (crop[index] ?? 0) -
          (crop[index - 3] ?? 0) -
          (crop[index + 3] ?? 0) -
          (crop[index - rowBytes] ?? 0) -
          (crop[index + rowBytes] ?? 0);
        sum += laplacian * laplacian;
        count += 1;
      }
    }
    return count === 0 ? 0 : sum / count;
  }
}

/** The crop row or column at the center of a mask row or column, clamped so that it has neighbors on both sides. */
function interiorCropIndex(maskIndex: number, cropSizePx: number): number {
  return Math.min(cropSizePx - 2, Math.max(1, Math.floor(((maskIndex + 0.5) / maskSidePx) * cropSizePx)));
}

export interface SharpenOptions {
  /** Side of the square plane. */
  readonly sizePx: number;
  readonly firstRow: number;
  /** Exclusive. */
  readonly endRow: number;
  readonly amount: number;
}

/**
 * Unsharp mask with a 3 × 3 binomial blur over some rows of a square plane. Rounds and clamps to bytes; pixels at the
 * border of the plane are not sharpened.
 */
export function sharpenRows(
  plane: Float32Array,
  output: Uint8Array,
  { sizePx, firstRow, endRow, amount }: SharpenOptions,
): void {
  for (let row = firstRow; row < endRow; row += 1) {
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
      output[index] = toByte(value + (change > maxChange ? maxChange : change < -maxChange ? -maxChange : change));
    }
  }
}
