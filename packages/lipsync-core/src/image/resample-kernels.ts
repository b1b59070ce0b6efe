/**
 * Interpolation kernels as tables of integer weights, one set per phase (sub-pixel position in 1/64 pixel).
 *
 * Two resamplers use them. Affine crops are separable, so `AffineResampler` filters in two one-dimensional passes and
 * can average large areas. A warp has another displacement at every pixel, so `warp-sampling.ts` sums a 4 × 4 window
 * per pixel.
 */
export const phaseBits = 6;
const phases = 1 << phaseBits;

/** Filter for enlarging: bilinear or Catmull-Rom. Both average areas (box filter) when the picture shrinks. */
export type Interpolation = 'linear' | 'cubic';

/** Fraction bits of the weights of a `ResampleKernel`. */
export const kernelWeightBits = 12;

/** Weights of neighboring pixels for one step width. Reused between calls, because most calls need the same step. */
export class ResampleKernel {
  /** Distance from a position (pixel i covers i … i + 1) to the first weighted pixel. */
  offset = 0;
  /** Number of weighted pixels: even and at least four, so that loops can be unrolled. */
  taps = 0;
  /** `taps` weights per phase; the weights of a phase add up to `1 << kernelWeightBits`. */
  weights = new Int32Array(0);
  /** Width of the box filter in pixels, 0 for the cubic, NaN before the first use. */
  #boxPx = Number.NaN;

  /** Prepares the kernel for a step of `stepPx` source pixels per target pixel. */
  setStep(stepPx: number, interpolation: Interpolation): void {
    const widthPx = Math.abs(stepPx);
    // A box filter of one pixel width equals linear interpolation between pixel centers.
    const boxPx = widthPx < 1 && interpolation === 'cubic' ? 0 : Math.max(1, widthPx);
    if (boxPx === this.#boxPx) return;
    this.#boxPx = boxPx;
    this.taps = boxPx === 0 ? 4 : Math.max(4, Math.ceil((Math.ceil(boxPx) + 1) / 2) * 2);
    this.offset = boxPx === 0 ? -1.5 : -boxPx / 2;
    if (this.weights.length < this.taps * phases) this.weights = new Int32Array(this.taps * phases);
    const weightAt = boxPx === 0 ? catmullRom : (fraction: number, tap: number) => boxWeight(fraction, tap, boxPx);
    fillWeights(this.weights, this.taps, kernelWeightBits, weightAt);
  }
}

/** Four Catmull-Rom weights per phase; the weights of a phase add up to `1 << weightBits`. */
export function catmullRomWeights(weightBits: number): Int32Array {
  const weights = new Int32Array(phases * 4);
  fillWeights(weights, 4, weightBits, catmullRom);
  return weights;
}

/** The rounding error of each phase goes to its largest weight. */
function fillWeights(
  weights: Int32Array,
  taps: number,
  weightBits: number,
  weightAt: (fraction: number, tap: number) => number,
): void {
  const one = 1 << weightBits;
  for (let phase = 0; phase < phases; phase += 1) {
    const start = phase * taps;
    let sum = 0;
    let largest = start;
    for (let tap = 0; tap < taps; tap += 1) {
      const weight = Math.round(weightAt(phase / phases, tap) * one);
      weights[start + tap] = weight;
      sum += weight;
      if (weight > (weights[largest] ?? 0)) largest = start + tap;
    }
    weights[largest] = (weights[largest] ?? 0) + one - sum;
  }
}

/** Overlap of pixel `tap` with a box of `boxPx` pixels that starts at `fraction`, divided by the box's width. */
function boxWeight(fraction: number, tap: number, boxPx: number): number {
  return Math.max(0, Math.min(fraction + boxPx, tap + 1) - Math.max(fraction, tap)) / boxPx;
}

/**
 * Catmull and Rom's cubic (a = −1/2; "A class of local interpolating splines", 1974) between the second and third of
 * four pixels.
 */
function catmullRom(fraction: number, tap: number): number {
  const distance = Math.abs(tap - 1 - fraction);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
}
