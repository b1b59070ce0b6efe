import { at } from '../image/math.ts';
import { appearanceChannels, appearanceParts, appearancePointCount } from './face-appearance.ts';

const valueCount = appearancePointCount * appearanceChannels;
/** Appearances that a reference needs. */
const minimumAppearances = 40;
/** Errors of landmarks and compression, per channel: luma, Cb, Cr, texture. */
const noise = [8, 4, 4, 6] as const;
/** Width of the interval with half of a normal distribution, in standard deviations. */
const halfWidth = 1.35;
/** Limit of the deviation of a point, so that single points do not decide. */
const largestDeviation = 8;

/** Mean deviations of the parts of a face from its usual look, in standard deviations. */
export interface AppearanceDeviation {
  readonly lips: number;
  readonly chin: number;
  readonly forehead: number;
  /** Contrast of small details of the upper face relative to the usual one: 1 usual, 0 blurred. */
  readonly sharpness: number;
}

/**
 * The usual look of one face: per sampled value, the shortest interval with half of all observations. Whatever covers
 * the face for less than half of the time does not change it. Needs the same memory for every length.
 */
export class AppearanceReference {
  readonly #histograms = new Uint32Array(valueCount * 256);
  readonly #center = new Float32Array(valueCount);
  readonly #weight = new Float32Array(valueCount);
  #count = 0;
  #usualTexture = 0;

  add(appearance: Uint8Array): void {
    this.#count += 1;
    for (let index = 0; index < valueCount; index += 1) {
      const bin = index * 256 + (appearance[index] ?? 0);
      this.#histograms[bin] = (this.#histograms[bin] ?? 0) + 1;
    }
  }

  /** Computes the reference of all added appearances. Returns false when there are too few. */
  finish(): boolean {
    if (this.#count < minimumAppearances) return false;
    for (let index = 0; index < valueCount; index += 1) {
      const [low, high] = shortestHalf(this.#histograms.subarray(index * 256, (index + 1) * 256), this.#count);
      const channel = index % appearanceChannels;
      this.#center[index] = (low + high) / 2;
      this.#weight[index] = 1 / (((high - low) / halfWidth) ** 2 + (noise[channel] ?? 1) ** 2);
    }
    this.#usualTexture = this.#textureOf((index) => at(this.#center, index));
    return true;
  }

  /** Compares an appearance with the reference. `finish` must have returned true. */
  compare(appearance: Uint8Array): AppearanceDeviation {
    return {
      lips: this.#meanDeviation(appearance, appearanceParts.lips),
      chin: this.#meanDeviation(appearance, appearanceParts.chin),
      forehead: this.#meanDeviation(appearance, appearanceParts.forehead),
      sharpness: this.#textureOf((index) => at(appearance, index)) / Math.max(1, this.#usualTexture),
    };
  }

  #meanDeviation(appearance: Uint8Array, { start, end }: { readonly start: number; readonly end: number }): number {
    let sum = 0;
    for (let point = start; point < end; point += 1) {
      let squares = 0;
      for (let index = point * appearanceChannels; index < (point + 1) * appearanceChannels; index += 1)
        squares += (at(appearance, index) - at(this.#center, index)) ** 2 * at(this.#weight, index);
      sum += Math.min(largestDeviation, Math.sqrt(squares));
    }
    return sum / (end - start);
  }

  #textureOf(value: (index: number) => number): number {
    let sum = 0;
    const { start, end } = appearanceParts.upperFace;
    for (let point = start; point < end; point += 1) sum += value((point + 1) * appearanceChannels - 1);
    return sum / (end - start);
  }
}

/** The first shortest interval of bins that holds at least half of the counts, both ends inclusive. */
function shortestHalf(histogram: Uint32Array, count: number): readonly [low: number, high: number] {
  const needed = Math.ceil(count / 2);
  let best: readonly [number, number] = [0, histogram.length - 1];
  let inside = 0;
  let low = 0;
  for (let high = 0; high < histogram.length; high += 1) {
    inside += histogram[high] ?? 0;
    while (inside - (histogram[low] ?? 0) >= needed) {
      inside -= histogram[low] ?? 0;
      low += 1;
    }
    if (inside >= needed && high - low < best[1] - best[0]) best = [low, high];
  }
  return best;
}
