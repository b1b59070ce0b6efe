/** A rectangle in pixels, end exclusive. */
export interface PixelArea {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const blockPx = 8;
/** Stabilisers of Wang et al. 2004, "Image quality assessment": (0.01 · 255)² and (0.03 · 255)². */
const c1 = (0.01 * 255) ** 2;
const c2 = (0.03 * 255) ** 2;

/**
 * Mean structural similarity of two luma planes over all 8×8 blocks that do not touch `excluded`, 1 where they are the
 * same. NaN when nothing is left to compare.
 */
export function ssimOutside(
  a: Uint8Array,
  b: Uint8Array,
  width: number,
  height: number,
  excluded: PixelArea | undefined,
): number {
  let sum = 0;
  let blocks = 0;
  for (let top = 0; top + blockPx <= height; top += blockPx) {
    for (let left = 0; left + blockPx <= width; left += blockPx) {
      if (excluded && touches(left, top, excluded)) continue;
      sum += blockSsim(a, b, width, left, top);
      blocks += 1;
    }
  }
  return blocks === 0 ? NaN : sum / blocks;
}

function touches(left: number, top: number, area: PixelArea): boolean {
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
