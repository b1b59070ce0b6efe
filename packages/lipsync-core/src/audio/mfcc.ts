import { RealFft } from './fft.ts';
import { applyMelFilter, type MelFilter } from './mel-filterbank.ts';
import { analysisSampleRateHz } from './speech-features.ts';

/** Coefficients per row. */
export const mfccCount = 13;
/** Rows per second: a hop of 10 ms. */
const mfccRowsPerSecond = 100;

const windowSamples = 400;
const hopSamples = analysisSampleRateHz / mfccRowsPerSecond;
const fftSize = 512;
const preEmphasis = 0.97;
const bandCount = 26;
const lifter = 22;
/** The features are defined on 16-bit integers. */
const integerScale = 32_768;
/** Replaces zeros before a logarithm: the epsilon of float64. */
const smallest = 2 ** -52;

/**
 * Mel-frequency cepstral coefficients of a stream with the parameters that SyncNet and LR-ASD are trained on (the
 * defaults of python_speech_features): rectangular windows of 25 ms every 10 ms, pre-emphasis, 26 bands up to 8 kHz,
 * sinusoidal lifter, and the log energy of the window as coefficient 0. N samples give 1 + ⌈(N − 400) / 160⌉ rows, the
 * last one of a window that is padded with zeros. Keeps one window of samples.
 */
export class MfccStream {
  readonly #onRow: (row: Float32Array) => void;
  readonly #measure = createRowMeasure();
  readonly #window = new Float64Array(windowSamples);
  #filled = 0;
  #rows = 0;
  #hasNewSamples = false;
  #previousSample = 0;

  /** `onRow` is called once per row, in order, with an array that the next row overwrites. */
  constructor(onRow: (row: Float32Array) => void) {
    this.#onRow = onRow;
  }

  /** Adds samples: mono, 16 kHz, −1…1. Samples that are not finite count as silence. */
  push(samples: Float32Array): void {
    for (let i = 0; i < samples.length; i += 1) {
      const value = samples[i] ?? 0;
      const sample = Number.isFinite(value) ? value * integerScale : 0;
      this.#add(sample - preEmphasis * this.#previousSample);
      this.#previousSample = sample;
    }
  }

  /** Emits the last row. `push` must not be called afterwards. */
  finish(): void {
    if (!this.#hasNewSamples && this.#rows > 0) return;
    if (this.#filled === 0) return;
    this.#window.fill(0, this.#filled);
    this.#emit();
  }

  #add(value: number): void {
    this.#window[this.#filled++] = value;
    this.#hasNewSamples = true;
    if (this.#filled < windowSamples) return;
    this.#emit();
    this.#window.copyWithin(0, hopSamples);
    this.#filled -= hopSamples;
    this.#hasNewSamples = false;
  }

  #emit(): void {
    this.#rows += 1;
    this.#onRow(this.#measure(this.#window));
  }
}

/** The coefficients of all samples, row by row. */
export function measureMfcc(samples: Float32Array): Float32Array {
  const rows: number[] = [];
  const stream = new MfccStream((row) => rows.push(...row));
  stream.push(samples);
  stream.finish();
  return Float32Array.from(rows);
}

function createRowMeasure(): (window: Float64Array) => Float32Array {
  const fft = new RealFft(fftSize);
  const filters = createFilters();
  const cosines = createCosines();
  const padded = new Float64Array(fftSize);
  const power = new Float64Array(fftSize / 2 + 1);
  const bands = new Float64Array(bandCount);
  const row = new Float32Array(mfccCount);
  return (window) => {
    padded.set(window);
    fft.powerSpectrum(padded, power);
    let energy = 0;
    for (let bin = 0; bin < power.length; bin += 1) {
      power[bin] = (power[bin] ?? 0) / fftSize;
      energy += power[bin] ?? 0;
    }
    filters.forEach((filter, band) => (bands[band] = logarithm(applyMelFilter(filter, power))));
    for (let index = 0; index < mfccCount; index += 1) {
      let sum = 0;
      for (let band = 0; band < bandCount; band += 1) sum += (bands[band] ?? 0) * (cosines[index]?.[band] ?? 0);
      row[index] = sum;
    }
    row[0] = logarithm(energy);
    return row;
  };
}

function logarithm(value: number): number {
  return Math.log(value === 0 ? smallest : value);
}

/** Triangles between points that are evenly spaced in mel (2595·log10(1 + f/700)) and rounded down to bins. */
function createFilters(): readonly MelFilter[] {
  const toMel = (hz: number): number => 2595 * Math.log10(1 + hz / 700);
  const highest = toMel(analysisSampleRateHz / 2);
  const points = Array.from({ length: bandCount + 2 }, (_, index) => {
    const hz = 700 * (10 ** ((highest * index) / (bandCount + 1) / 2595) - 1);
    return Math.floor(((fftSize + 1) * hz) / analysisSampleRateHz);
  });
  return Array.from({ length: bandCount }, (_, band) => {
    const [left = 0, center = 0, right = 0] = points.slice(band, band + 3);
    const weights = Float64Array.from({ length: right - left }, (_value, index) => {
      const bin = left + index;
      return bin < center ? (bin - left) / (center - left) : (right - bin) / (right - center);
    });
    return { firstBin: left, weights };
  });
}

/** The orthonormal DCT-II, each row times its lifter 1 + 11·sin(πn/22). */
function createCosines(): readonly Float64Array[] {
  return Array.from({ length: mfccCount }, (_, index) => {
    const lift = 1 + (lifter / 2) * Math.sin((Math.PI * index) / lifter);
    const scale = Math.sqrt((index === 0 ? 1 : 2) / bandCount) * lift;
    return Float64Array.from(
      { length: bandCount },
      (_value, band) => scale * Math.cos((Math.PI * index * (band + 0.5)) / bandCount),
    );
  });
}
