import { analysisSampleRateHz } from './speech-types.ts';
import { createMagnitudeSpectrum } from './magnitude-spectrum.ts';
import { createMelBank, melBandCount, type MelBand } from './mel-bank.ts';

/** Columns per second: one every 12.5 ms. */
export const melColumnsPerSecond = 80;
/** What every cell is where there is no sound. */
export const silentMel = -4;

const hopSamples = analysisSampleRateHz / melColumnsPerSecond;
const windowSamples = 800;
const paddingSamples = windowSamples / 2;
const preEmphasis = 0.97;
const quietestMagnitude = 1e-5;
const referenceDb = 20;
const rangeDb = 100;
const loudestMel = 4;

export interface MelSpectrogram {
  /** Takes the next samples: mono, 16 kHz, −1…1. Samples that are not finite count as silence. */
  push(samples: Float32Array): void;
  /** Completes the columns of everything that was pushed; nothing may be pushed any more. */
  finish(): void;
}

/**
 * Makes the spectrogram that Wav2Lip was trained on, column by column: column `c` is centerd on sample 200·c, and N > 0
 * samples give 1 + floor(N / 200) columns of 80 values in −4…4, the lowest band first. No sound at all gives none.
 * `take` is called once per column, in order, with an array that is used again for the next one. Keeps one window of
 * sound. Beyond its ends the sound is mirrored, again and again where it is shorter than half a window.
 */
export function createMelSpectrogram(take: (column: Float32Array) => void): MelSpectrogram {
  const measure = createColumnMeasure();
  const window = new Float64Array(windowSamples);
  const head = new Float64Array(paddingSamples + 1);
  let headFilled = 0;
  let filled = 0;
  let before = 0;

  const add = (value: number): void => {
    window[filled++] = value;
    if (filled < windowSamples) return;
    take(measure(window));
    window.copyWithin(0, hopSamples);
    filled -= hopSamples;
  };
  const addHead = (): void => {
    for (let i = -paddingSamples; i < headFilled; i++) add(head[mirrored(i, headFilled)] ?? 0);
  };
  const addSample = (value: number): void => {
    if (headFilled === head.length) return add(value);
    head[headFilled++] = value;
    if (headFilled === head.length) addHead();
  };
  return {
    push(samples) {
      for (let i = 0; i < samples.length; i++) {
        const value = samples[i] ?? 0;
        const sample = Number.isFinite(value) ? value : 0;
        addSample(sample - preEmphasis * before);
        before = sample;
      }
    },
    finish() {
      if (headFilled === 0) return;
      if (headFilled < head.length) addHead();
      const tail = window.slice(filled - paddingSamples - 1, filled - 1);
      for (const value of tail.reverse()) add(value);
    },
  };
}

/** The place of `index` in a sequence of `length` that goes on beyond its ends by turning round at them. */
function mirrored(index: number, length: number): number {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const place = Math.abs(index) % period;
  return place < length ? place : period - place;
}

function createColumnMeasure(): (window: Float64Array) => Float32Array {
  const hann = Float64Array.from(
    { length: windowSamples },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / windowSamples),
  );
  const magnitudeSpectrum = createMagnitudeSpectrum(windowSamples);
  const bank = createMelBank(analysisSampleRateHz / windowSamples);
  const shaped = new Float64Array(windowSamples);
  const magnitudes = new Float64Array(windowSamples / 2 + 1);
  const column = new Float32Array(melBandCount);

  return (window) => {
    for (let i = 0; i < windowSamples; i++) shaped[i] = (window[i] ?? 0) * (hann[i] ?? 0);
    magnitudeSpectrum(shaped, magnitudes);
    bank.forEach((band, index) => (column[index] = toMelValue(magnitudeOf(band, magnitudes))));
    return column;
  };
}

function magnitudeOf({ firstBin, weights }: MelBand, magnitudes: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (magnitudes[firstBin + i] ?? 0);
  return sum;
}

/** Decibels below the reference level, laid from −4 (100 dB below) to 4 and clipped there. */
function toMelValue(magnitude: number): number {
  const levelDb = 20 * Math.log10(Math.max(quietestMagnitude, magnitude)) - referenceDb;
  const value = ((loudestMel - silentMel) * (levelDb + rangeDb)) / rangeDb + silentMel;
  return Math.max(silentMel, Math.min(loudestMel, value));
}
