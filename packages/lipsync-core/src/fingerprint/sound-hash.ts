import { RealFft } from '../audio/fft.ts';
import { analysisSampleRateHz } from '../audio/speech-features.ts';

/** Steps in which the sound of a video that is looked up is hashed. */
export const fineStepMs = 12;
/** A stored hash covers so many fine steps; the hash of a window compares it with the one so much earlier. */
export const fineStepsPerHash = 8;

const windowSamples = 5_000;
const fineStepSamples = (fineStepMs * analysisSampleRateHz) / 1_000;
const bandCount = 33;
const lowestHz = 300;
const highestHz = 2_000;
/** Windows that are this much quieter than the loudest one are pauses, and sound below this level is silence. */
const pauseRangeDb = 40;
const silenceDb = -60;
/** Bits of a hash that a lossy codec changes first. A look-up also tries the hashes that differ in them. */
const weakBits = 3;

/** The hashes of a sound in equal steps; 0 in pauses. */
export interface SoundHashes {
  readonly hashes: Uint32Array;
  /** By step: as `hashes`, but a 1 for each of the least certain bits. */
  readonly weak: Uint32Array;
  /** By step: how certain the other bits are, 0 to 1. */
  readonly certainty: Float32Array;
}

/**
 * Hashes sound into 32 bits per step: each bit states whether the energy difference of two neighboring bands has grown
 * since 96 ms before (Haitsma and Kalker, "A highly robust audio fingerprinting system", 2002). The bits do not depend
 * on the level and hardly on lossy compression.
 */
export class SoundHasher {
  readonly #stepSamples: number;
  readonly #maxSteps: number;
  /** Steps between the two windows that are compared. */
  readonly #distance: number;
  readonly #fft = new RealFft(windowSamples);
  readonly #samples = new Float64Array(windowSamples);
  readonly #windowed = new Float64Array(windowSamples);
  readonly #power = new Float64Array(windowSamples / 2 + 1);
  /** Band energies of the last windows, by step modulo their number. */
  readonly #energies: readonly Float64Array[];
  readonly #hashes: number[] = [];
  readonly #weak: number[] = [];
  readonly #certainty: number[] = [];
  readonly #levelsDb: number[] = [];
  #filled = 0;

  /** `fine` hashes in steps of 12 ms, else 96 ms. Sound after `maxMs` is ignored. */
  constructor({ fine, maxMs }: { readonly fine: boolean; readonly maxMs: number }) {
    this.#stepSamples = fineStepSamples * (fine ? 1 : fineStepsPerHash);
    this.#distance = fine ? fineStepsPerHash : 1;
    this.#maxSteps = Math.floor((maxMs * analysisSampleRateHz) / 1_000 / this.#stepSamples);
    this.#energies = Array.from({ length: this.#distance + 1 }, () => new Float64Array(bandCount));
  }

  /** Adds mono samples at 16 kHz. */
  add(chunk: Float32Array): void {
    for (let offset = 0; offset < chunk.length && !this.isFull;) {
      const count = Math.min(chunk.length - offset, windowSamples - this.#filled);
      this.#samples.set(chunk.subarray(offset, offset + count), this.#filled);
      this.#filled += count;
      offset += count;
      if (this.#filled < windowSamples) continue;
      this.#hashWindow();
      this.#samples.copyWithin(0, this.#stepSamples);
      this.#filled -= this.#stepSamples;
    }
  }

  /** Whether further sound is ignored. */
  get isFull(): boolean {
    return this.#hashes.length >= this.#maxSteps;
  }

  finish(): SoundHashes {
    const floorDb = Math.max(silenceDb, Math.max(silenceDb, ...sampled(this.#levelsDb)) - pauseRangeDb);
    const isHeard = (step: number): boolean => (this.#levelsDb[step] ?? silenceDb) > floorDb;
    return {
      // A hash of 0 stands for a pause.
      hashes: Uint32Array.from(this.#hashes, (hash, step) => (isHeard(step) ? hash || 1 : 0)),
      weak: Uint32Array.from(this.#weak),
      certainty: Float32Array.from(this.#certainty),
    };
  }

  #hashWindow(): void {
    const step = this.#hashes.length;
    const energies = this.#energies[step % this.#energies.length] ?? new Float64Array(bandCount);
    for (let i = 0; i < windowSamples; i += 1) this.#windowed[i] = (this.#samples[i] ?? 0) * (hann[i] ?? 0);
    this.#fft.powerSpectrum(this.#windowed, this.#power);
    let total = 0;
    for (let band = 0; band < bandCount; band += 1) {
      let energy = 0;
      for (let bin = bandEdges[band] ?? 0; bin < (bandEdges[band + 1] ?? 0); bin += 1) energy += this.#power[bin] ?? 0;
      energies[band] = energy;
      total += energy;
    }
    this.#levelsDb.push(10 * Math.log10(total / fullScalePower + 1e-12));
    const before = step < this.#distance ? energies : this.#energies[(step + 1) % this.#energies.length];
    const { hash, weak, certainty } = hashBands(energies, before ?? energies);
    this.#hashes.push(step < this.#distance ? 0 : hash);
    this.#weak.push(weak);
    this.#certainty.push(step < this.#distance ? 0 : certainty);
  }
}

/** Every value of a short list, and an even choice of a long one, which an argument list cannot hold. */
function sampled(values: readonly number[]): readonly number[] {
  const every = Math.ceil(values.length / 10_000);
  return every <= 1 ? values : values.filter((_, index) => index % every === 0);
}

const ratios = new Float64Array(bandCount - 1);

function hashBands(
  energies: Float64Array,
  before: Float64Array,
): { readonly hash: number; readonly weak: number; readonly certainty: number } {
  let hash = 0;
  for (let bit = 0; bit < bandCount - 1; bit += 1) {
    const [here, next] = [energies[bit] ?? 0, energies[bit + 1] ?? 0];
    const [hereBefore, nextBefore] = [before[bit] ?? 0, before[bit + 1] ?? 0];
    const difference = here - next - (hereBefore - nextBefore);
    if (difference > 0) hash |= 1 << bit;
    ratios[bit] = Math.abs(difference) / (here + next + hereBefore + nextBefore + Number.MIN_VALUE);
  }
  let weak = 0;
  for (let count = 0; count < weakBits; count += 1) weak |= 1 << weakestBit(weak);
  return { hash: hash >>> 0, weak: weak >>> 0, certainty: ratios[weakestBit(weak)] ?? 0 };
}

/** The least certain bit of the last hash that is not among `known`. */
function weakestBit(known: number): number {
  let weakest = 0;
  let lowest = Infinity;
  for (let bit = 0; bit < bandCount - 1; bit += 1) {
    if ((known >>> bit) & 1 || (ratios[bit] ?? 0) >= lowest) continue;
    lowest = ratios[bit] ?? 0;
    weakest = bit;
  }
  return weakest;
}

/** All hashes that differ from one at most in its weak bits. */
export function* variantsOf(hash: number, weak: number): Generator<number> {
  // Counts through all subsets of the weak bits.
  let subset = 0;
  do {
    yield (hash ^ subset) >>> 0;
    subset = (subset - weak) & weak;
  } while (subset !== 0);
}

/** Number of bits in which two words differ. */
export function countDifferingBits(one: number, other: number): number {
  let bits = one ^ other;
  bits -= (bits >>> 1) & 0x5555_5555;
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return (((bits + (bits >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
}

const hann = Float64Array.from(
  { length: windowSamples },
  (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / windowSamples),
);
/** Power of a full-scale square wave in such a window, summed over the bins of one side. */
const fullScalePower = (windowSamples * windowSamples * 3) / 16;
/** First bins of the bands, which are equally wide in logarithmic frequency. */
const bandEdges = Int32Array.from({ length: bandCount + 1 }, (_, band) =>
  Math.round((lowestHz * (highestHz / lowestHz) ** (band / bandCount) * windowSamples) / analysisSampleRateHz),
);
