import type { ValueRange } from './eight-bit-values.ts';

const binsPerSide = 1024;
/** Shares of the observed range that are tried as its limit. */
const triedLimits = 64;
const codes = 255;

/**
 * Counts values in bins of equal width around 0. The bins double in width when a value lies beyond them, so that values
 * are read once and memory is constant.
 */
export class ValueHistogram {
  readonly #positive = new Float64Array(binsPerSide);
  readonly #negative = new Float64Array(binsPerSide);
  #width = 1 / binsPerSide;
  #low = 0;
  #high = 0;

  /** Adds values. Throws a RangeError for one that is not finite. */
  add(values: Float32Array): void {
    let [low, high] = [this.#low, this.#high];
    for (const value of values) {
      if (value < low) low = value;
      else if (value > high) high = value;
      // 0 for finite numbers, NaN for all others.
      else if (value - value !== 0) throw new RangeError(`${value} is not finite.`);
    }
    if (!Number.isFinite(high - low)) throw new RangeError('A value is not finite.');
    [this.#low, this.#high] = [low, high];
    while (Math.max(high, -low) >= this.#width * binsPerSide) this.#widen();
    const scale = 1 / this.#width;
    for (const value of values) {
      const bin = Math.floor(Math.abs(value) * scale);
      const side = value < 0 ? this.#negative : this.#positive;
      side[bin] = (side[bin] ?? 0) + 1;
    }
  }

  /**
   * The range with the smallest mean squared error of codes: values inside are off by up to half a step, those beyond
   * it by their distance from it. A few large values are cut off when that makes the steps of all others finer.
   */
  bestRange(): ValueRange {
    let best = { error: Number.POSITIVE_INFINITY, share: 1 };
    for (let tried = triedLimits; tried > triedLimits / 4; tried -= 1) {
      const share = tried / triedLimits;
      const error = this.#errorOf(this.#low * share, this.#high * share);
      if (error < best.error) best = { error, share };
    }
    return { low: this.#low * best.share, high: this.#high * best.share };
  }

  /** Sum of the squared errors. */
  #errorOf(low: number, high: number): number {
    const inside = ((high - low) / codes) ** 2 / 12;
    let error = 0;
    for (const [side, limit] of [
      [this.#positive, high],
      [this.#negative, -low],
    ] as const) {
      for (let bin = 0; bin < binsPerSide; bin += 1) {
        const count = side[bin] ?? 0;
        if (count === 0) continue;
        const beyond = (bin + 0.5) * this.#width - limit;
        error += count * (beyond > 0 ? beyond ** 2 : inside);
      }
    }
    return error;
  }

  #widen(): void {
    this.#width *= 2;
    for (const side of [this.#positive, this.#negative]) {
      for (let bin = 0; bin < binsPerSide; bin += 1)
        side[bin] = 2 * bin < binsPerSide ? (side[2 * bin] ?? 0) + (side[2 * bin + 1] ?? 0) : 0;
    }
  }
}
