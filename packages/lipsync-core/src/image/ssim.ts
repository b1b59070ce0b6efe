import type { PixelArea } from './planes.ts';

/** Side of the blocks. */
export const blockPx = 8;
/** Constants C1 and C2 of SSIM (Wang et al., "Image Quality Assessment", 2004). */
const c1 = (0.01 * 255) ** 2;
const c2 = (0.03 * 255) ** 2;

/** Two planes of 8-bit samples of the same size. */
export interface PlanePair {
  readonly a: Uint8Array;
  readonly b: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Distance between the measured blocks; 8 by default, for all of them. */
  readonly stepPx?: number;
}

/**
 * Mean SSIM of two luma planes over the 8 × 8 blocks that do not overlap `excluded`; 1 for identical planes. NaN when
 * no block remains.
 */
export function ssimOutside(pair: PlanePair, excluded?: Readonly<PixelArea>): number {
  return ssimOfBlocks(pair, (left, top) => excluded === undefined || !overlaps(left, top, excluded));
}

/** Mean SSIM of two luma planes over the 8 × 8 blocks whose top left pixel is chosen. NaN when there is none. */
export function ssimOfBlocks(
  { a, b, width, height, stepPx = blockPx }: PlanePair,
  isChosen: (left: number, top: number) => boolean,
): number {
  let sum = 0;
  let blocks = 0;
  for (let top = 0; top + blockPx <= height; top += stepPx) {
    for (let left = 0; left + blockPx <= width; left += stepPx) {
      if (!isChosen(left, top)) continue;
      sum += blockSsim(a, b, width, left, top);
      blocks += 1;
    }
  }
  return blocks === 0 ? NaN : sum / blocks;
}

function overlaps(left: number, top: number, area: Readonly<PixelArea>): boolean {
  return left < area.right && left + blockPx > area.left && top < area.bottom && top + blockPx > area.top;
}

function blockSsim(a: Uint8Array, b: Uint8Array, width: number, left: number, top: number): number {
  let sumA = 0;
  let sumB = 0;
  let squaresA = 0;
  let squaresB = 0;
  let products = 0;
  for (let y = top; y < top + blockPx; y += 1) {
    for (let offset = y * width + left; offset < y * width + left + blockPx; offset += 1) {
      const valueA = a[offset] ?? 0;
      const valueB = b[offset] ?? 0;
      sumA += valueA;
      sumB += valueB;
      squaresA += valueA * valueA;
      squaresB += valueB * valueB;
      products += valueA * valueB;
    }
  }
  const count = blockPx * blockPx;
  const meanA = sumA / count;
  const meanB = sumB / count;
  const varianceA = squaresA / count - meanA * meanA;
  const varianceB = squaresB / count - meanB * meanB;
  const covariance = products / count - meanA * meanB;
  return (
    ((2 * meanA * meanB + c1) * (2 * covariance + c2)) /
    ((meanA * meanA + meanB * meanB + c1) * (varianceA + varianceB + c2))
  );
}
