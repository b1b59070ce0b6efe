/** Weights are tabled for 64 positions between two pixels, and are whole numbers of 1/4096: integer sums are the faster ones. */
export const phaseBits = 6;
export const weightBits = 12;
const phases = 1 << phaseBits;
const one = 1 << weightBits;

/** Enlarging by straight lines, or by the cubic that keeps edges sharp (Catmull-Rom). Shrinking averages areas in both cases. */
export type Smoothness = 'linear' | 'cubic';

/** Weights of neighboring pixels for a position on a line of them; tabled, because working them out per pixel would take longer than using them. */
export interface ResampleKernel {
  /** Added to a position (pixel i covers i … i + 1) it gives the place of the first weighed pixel. */
  offset: number;
  /** Pixels weighed: four or a larger even number, so that they can be taken together. */
  taps: number;
  /** `taps` weights for each phase; each set adds up to exactly one. */
  weights: Int32Array;
  /** What the weights were worked out for: the averaged width in pixels, 0 for the cubic. */
  window: number;
}

export function createResampleKernel(): ResampleKernel {
  return { offset: 0, taps: 0, weights: new Int32Array(0), window: NaN };
}

/** Sets a kernel up for stepping `stepPx` source pixels per target pixel. */
export function setResampleKernel(kernel: ResampleKernel, stepPx: number, smoothness: Smoothness): void {
  const width = Math.abs(stepPx);
  // A window of one pixel that slides over pixels is the same as straight lines between their middles.
  const window = width < 1 && smoothness === 'cubic' ? 0 : Math.max(1, width);
  if (window === kernel.window) return;
  kernel.window = window;
  if (window === 0) fill(kernel, 4, -1.5, catmullRomWeight);
  else fill(kernel, Math.max(4, Math.ceil((Math.ceil(window) + 1) / 2) * 2), -window / 2, areaWeight);
}

function fill(
  kernel: ResampleKernel,
  taps: number,
  offset: number,
  weigh: (fraction: number, tap: number, window: number) => number,
): void {
  kernel.taps = taps;
  kernel.offset = offset;
  if (kernel.weights.length < taps * phases) kernel.weights = new Int32Array(taps * phases);
  const { weights, window } = kernel;
  for (let phase = 0; phase < phases; phase += 1) {
    const start = phase * taps;
    let sum = 0;
    let largest = start;
    for (let tap = 0; tap < taps; tap += 1) {
      const weight = Math.round(weigh(phase / phases, tap, window) * one);
      weights[start + tap] = weight;
      sum += weight;
      if (weight > (weights[largest] ?? 0)) largest = start + tap;
    }
    weights[largest] = (weights[largest] ?? 0) + one - sum;
  }
}

function areaWeight(fraction: number, tap: number, window: number): number {
  return Math.max(0, Math.min(fraction + window, tap + 1) - Math.max(fraction, tap)) / window;
}

/** Catmull and Rom's interpolating cubic (tension 1/2) at `fraction` between the second and third of four pixels. */
function catmullRomWeight(fraction: number, tap: number): number {
  const distance = Math.abs(tap - 1 - fraction);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2;
}
