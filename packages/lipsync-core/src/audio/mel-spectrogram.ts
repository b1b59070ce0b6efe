import { RealFft } from './fft.ts';
import { applyMelFilter, createMelFilterbank, type MelFilterbankOptions } from './mel-filterbank.ts';
import { analysisSampleRateHz } from './speech-features.ts';

/** Mel bands, i.e. values per column. */
export const melBandCount = 80;
/** Columns per second: a hop of 12.5 ms. */
export const melColumnsPerSecond = 80;
/** Value of every band of digital silence. */
export const silentMel = -4;

const hopSamples = analysisSampleRateHz / melColumnsPerSecond;
const windowSamples = 800;
const paddingSamples = windowSamples / 2;
const preEmphasis = 0.97;
const quietestMagnitude = 1e-5;
const referenceDb = 20;
const rangeDb = 100;
const loudestMel = 4;

export const melFilterbank: MelFilterbankOptions = {
  scale: 'slaney',
  bandCount: melBandCount,
  lowestHz: 55,
  highestHz: 7600,
  normalization: 'area',
};

/**
 * Mel spectrogram of a stream with the parameters that talking-face models such as Wav2Lip and SyncNet are trained on:
 * pre-emphasis, Hann window of 50 ms, hop of 12.5 ms, 80 bands in decibels mapped to −4…4. Column `c` is centered on
 * sample 200·c; N > 0 samples give 1 + floor(N / 200) columns, no samples give none. The signal is reflected at both
 * ends, repeatedly where it is shorter than half a window. Keeps one window of samples.
 */
export class MelSpectrogram {
  readonly #onColumn: (column: Float32Array) => void;
  readonly #measure = createColumnMeasure();
  readonly #window = new Float64Array(windowSamples);
  #filled = 0;
  /** The first samples, which are reflected to the left of the signal. */
  readonly #head = new Float64Array(paddingSamples + 1);
  #headFilled = 0;
  #previousSample = 0;

  /** `onColumn` is called once per column, in order, with an array that the next column overwrites. */
  constructor(onColumn: (column: Float32Array) => void) {
    this.#onColumn = onColumn;
  }

  /** Adds samples: mono, 16 kHz, −1…1. Samples that are not finite count as silence. */
  push(samples: Float32Array): void {
    for (let i = 0; i < samples.length; i += 1) {
      const value = samples[i] ?? 0;
      const sample = Number.isFinite(value) ? value : 0;
      this.#addSample(sample - preEmphasis * this.#previousSample);
      this.#previousSample = sample;
    }
  }

  /** Emits the remaining columns. `push` must not be called afterwards. */
  finish(): void {
    if (this.#headFilled === 0) return;
    if (this.#headFilled < this.#head.length) this.#addHead();
    const tail = this.#window.slice(this.#filled - paddingSamples - 1, this.#filled - 1);
    for (const value of tail.reverse()) this.#add(value);
  }

  #addSample(value: number): void {
    if (this.#headFilled === this.#head.length) return this.#add(value);
    this.#head[this.#headFilled++] = value;
    if (this.#headFilled === this.#head.length) this.#addHead();
  }

  #addHead(): void {
    for (let i = -paddingSamples; i < this.#headFilled; i += 1) {
      this.#add(this.#head[reflectIndex(i, this.#headFilled)] ?? 0);
    }
  }

  #add(value: number): void {
    this.#window[this.#filled++] = value;
    if (this.#filled < windowSamples) return;
    this.#onColumn(this.#measure(this.#window));
    this.#window.copyWithin(0, hopSamples);
    this.#filled -= hopSamples;
  }
}

/** Index into a sequence of `length` values that is reflected at its ends without repeating the end values. */
function reflectIndex(index: number, length: number): number {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const position = Math.abs(index) % period;
  return position < length ? position : period - position;
}

function createColumnMeasure(): (window: Float64Array) => Float32Array {
  const hann = Float64Array.from(
    { length: windowSamples },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / windowSamples),
  );
  const fft = new RealFft(windowSamples);
  const filters = createMelFilterbank(melFilterbank, analysisSampleRateHz / windowSamples);
  const windowed = new Float64Array(windowSamples);
  const magnitudes = new Float64Array(windowSamples / 2 + 1);
  const column = new Float32Array(melBandCount);

  return (window) => {
    for (let i = 0; i < windowSamples; i += 1) windowed[i] = (window[i] ?? 0) * (hann[i] ?? 0);
    fft.magnitudeSpectrum(windowed, magnitudes);
    filters.forEach((filter, band) => (column[band] = toMelValue(applyMelFilter(filter, magnitudes))));
    return column;
  };
}

/** Maps decibels relative to the reference level to −4 (100 dB below) … 4, clamped. */
function toMelValue(magnitude: number): number {
  const levelDb = 20 * Math.log10(Math.max(quietestMagnitude, magnitude)) - referenceDb;
  const value = ((loudestMel - silentMel) * (levelDb + rangeDb)) / rangeDb + silentMel;
  return Math.max(silentMel, Math.min(loudestMel, value));
}
