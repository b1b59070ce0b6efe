/** Affine eight-bit quantization: value = step · (code − zeroPoint), with codes of 0 to 255 for activations. */

/** How the values of a tensor are stored in unsigned eight-bit codes. */
export interface CodeScale {
  readonly step: number;
  readonly zeroPoint: number;
}

/** The lowest and highest value of a tensor. */
export interface ValueRange {
  readonly low: number;
  readonly high: number;
}

const maxCode = 255;
/** Largest magnitude of integer weights: 127, or 63 for processors that saturate larger products. */
export type LargestWeight = 127 | 63;
/** Keeps the sum of a bias and 9 216 products of 255 · 127 below 2³¹. */
const maxBiasCode = 2 ** 30;
const smallestStep = 1e-12;

/**
 * The scale that stores a range, widened to contain 0, which padding needs exactly. A range without negative values has
 * the zero point 0, so that the lower limit of the codes is a ReLU.
 */
export function codeScaleOf({ low, high }: ValueRange): CodeScale {
  const [bottom, top] = [Math.min(0, low), Math.max(0, high)];
  const step = Math.max((top - bottom) / maxCode, smallestStep);
  return { step, zeroPoint: Math.min(maxCode, Math.round((0 - bottom) / step)) };
}

/** Integer weights of a convolution for inputs in codes: sum = steps[output] · (Σ weight · (code − zero point) + bias). */
export interface EightBitWeights {
  /** (outputs, inputs, rows, columns). */
  readonly codes: Int8Array;
  readonly bias: Int32Array;
  /** One per output channel. */
  readonly steps: Float32Array;
}

export interface FloatWeights {
  /** (outputs, inputs, rows, columns). */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/**
 * Quantizes the weights of a convolution per output channel. `inputSteps` has the step of each input channel, which
 * becomes part of its weights; so channels of one input may have different scales.
 */
export function quantizeWeights(
  { weight, bias }: FloatWeights,
  inputSteps: Float32Array,
  largestWeight: LargestWeight,
): EightBitWeights {
  const outputs = bias.length;
  const perOutput = weight.length / outputs;
  const area = perOutput / inputSteps.length;
  const codes = new Int8Array(weight.length);
  const steps = new Float32Array(outputs);
  const biasCodes = new Int32Array(outputs);
  const scaled = new Float64Array(perOutput);
  for (let output = 0; output < outputs; output += 1) {
    let largest = 0;
    for (let index = 0; index < perOutput; index += 1) {
      const value = (weight[output * perOutput + index] ?? 0) * (inputSteps[Math.floor(index / area)] ?? 0);
      scaled[index] = value;
      largest = Math.max(largest, Math.abs(value));
    }
    const offset = bias[output] ?? 0;
    const step = Math.fround(Math.max(largest / largestWeight, Math.abs(offset) / maxBiasCode, smallestStep));
    steps[output] = step;
    biasCodes[output] = Math.round(offset / step);
    for (let index = 0; index < perOutput; index += 1)
      codes[output * perOutput + index] = Math.max(
        -largestWeight,
        Math.min(largestWeight, Math.round((scaled[index] ?? 0) / step)),
      );
  }
  return { codes, bias: biasCodes, steps };
}
