import { RealFft } from './fft.ts';
import { applyMelFilter, createMelFilterbank, type MelFilterbankOptions } from './mel-filterbank.ts';
import { RowBuffer } from './time-series.ts';

/** All speech analysis uses mono samples at 16 kHz in −1…1. */
export const analysisSampleRateHz = 16_000;
/** Analysis steps per second: a hop of 10 ms. */
export const stepsPerSecond = 100;
export const bandCount = 20;

/** Level and mel band energies of speech; step `i` is centered on `i × 10 ms`. */
export interface SpeechFeatures {
  readonly stepCount: number;
  /** Short-time level, dBFS (0 for a full-scale square wave), at least `quietestDb`. */
  readonly levelDb: Float32Array;
  /** Power in dB, rows of `bandCount` mel bands, one row per step. */
  readonly bandsDb: Float32Array;
}

/** Level of digital silence, far below the noise floor of 16-bit audio. */
export const quietestDb = -160;

const stepSamples = analysisSampleRateHz / stepsPerSecond;
const windowSamples = 400;
const fftSize = 512;
const quietestPower = 10 ** (quietestDb / 10);
const filterbank: MelFilterbankOptions = {
  scale: 'htk',
  bandCount,
  lowestHz: 80,
  highestHz: 7600,
  normalization: 'peak',
};

/** Extracts features from a stream. Keeps 84 bytes per step (30 MB per hour) and the last window of samples. */
export class FeatureExtractor {
  readonly #levels = new RowBuffer(1);
  readonly #bands = new RowBuffer(bandCount);
  readonly #measure = createStepMeasure(this.#levels, this.#bands);
  readonly #removeOffset = createOffsetFilter();
  readonly #window = new Float64Array(windowSamples);
  /** Half a window of silence before the first sample centers step 0 on time 0. */
  #filled = windowSamples / 2;
  #pushed = 0;

  /** Adds samples. Values that are not finite count as silence. */
  push(samples: Float32Array): void {
    this.#pushed += samples.length;
    for (const sample of samples) this.#add(this.#removeOffset(Number.isFinite(sample) ? sample : 0));
  }

  /** Returns the features of all samples, one step for every 10 ms begun. */
  finish(): SpeechFeatures {
    const stepCount = Math.ceil(this.#pushed / stepSamples);
    while (this.#levels.rowCount < stepCount) this.#add(0);
    return { stepCount, levelDb: this.#levels.toArray(stepCount), bandsDb: this.#bands.toArray(stepCount) };
  }

  #add(sample: number): void {
    this.#window[this.#filled++] = sample;
    if (this.#filled < windowSamples) return;
    this.#measure(this.#window);
    this.#window.copyWithin(0, stepSamples);
    this.#filled -= stepSamples;
  }
}

/** One-pole high-pass at about 20 Hz, which removes DC offset and drift from the level. */
function createOffsetFilter(): (sample: number) => number {
  const pole = 1 - (2 * Math.PI * 20) / analysisSampleRateHz;
  let previous = 0;
  let output = 0;
  return (sample) => {
    const limited = Math.max(-16, Math.min(16, sample));
    output = limited - previous + pole * output;
    previous = limited;
    return output;
  };
}

function createStepMeasure(levels: RowBuffer, bands: RowBuffer): (window: Float64Array) => void {
  const hann = Float64Array.from(
    { length: windowSamples },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / windowSamples),
  );
  const weightSum = hann.reduce((sum, weight) => sum + weight * weight, 0);
  const filters = createMelFilterbank(filterbank, analysisSampleRateHz / fftSize);
  const fft = new RealFft(fftSize);
  const windowed = new Float64Array(fftSize);
  const power = new Float64Array(fftSize / 2 + 1);
  const row = new Float32Array(bandCount);
  const level = new Float32Array(1);

  return (window) => {
    let energy = 0;
    for (let i = 0; i < windowSamples; i += 1) {
      const value = (window[i] ?? 0) * (hann[i] ?? 0);
      windowed[i] = value;
      energy += value * value;
    }
    fft.powerSpectrum(windowed, power);
    level[0] = toDb(energy / weightSum);
    filters.forEach((filter, band) => (row[band] = toDb(applyMelFilter(filter, power) / (weightSum * fftSize))));
    levels.append(level);
    bands.append(row);
  };
}

function toDb(power: number): number {
  return 10 * Math.log10(Math.max(power, quietestPower));
}
