import { createPowerSpectrum } from './power-spectrum.ts';
import { createBlockList, type BlockList } from './block-list.ts';
import { analysisSampleRateHz } from './speech-types.ts';

/** Analysis steps per second: one every 10 ms. */
export const stepsPerSecond = 100;
export const bandCount = 20;

/** What the sound is like every 10 ms; step `i` is centerd on `i × 10 ms`. */
export interface SpeechFeatures {
  readonly stepCount: number;
  /** Short-time level, dBFS (a full-scale square wave is 0); `quietestDb` where there is no sound at all. */
  readonly levelDb: Float32Array;
  /** Power in `bandCount` mel bands, dB, one row of bands per step. */
  readonly bandsDb: Float32Array;
}

/** Stands for "no sound at all", far below what 16 bits can carry. */
export const quietestDb = -160;

const stepSamples = analysisSampleRateHz / stepsPerSecond;
const windowSamples = 400;
const transformSize = 512;
const lowestBandHz = 80;
const highestBandHz = 7600;
const quietestPower = 10 ** (quietestDb / 10);

export interface FeatureExtractor {
  /** Takes the next samples; values that are not finite count as silence. */
  push(samples: Float32Array): void;
  /** The features of everything that was pushed. */
  finish(): SpeechFeatures;
}

/**
 * Makes features of a stream of 16 kHz mono samples. It keeps 84 bytes per step (30 MB for an hour) and the last
 * window of sound, never the sound itself.
 */
export function createFeatureExtractor(): FeatureExtractor {
  const levels = createBlockList(1);
  const bands = createBlockList(bandCount);
  const measure = createStepMeasure(levels, bands);
  const withoutOffset = createOffsetFilter();
  // Half a window of silence before the first sample centers step 0 on time 0.
  const ring = new Float64Array(windowSamples);
  let filled = windowSamples / 2;
  let pushed = 0;

  const take = (sample: number): void => {
    ring[filled++] = sample;
    if (filled < windowSamples) return;
    measure(ring);
    ring.copyWithin(0, stepSamples);
    filled -= stepSamples;
  };
  return {
    push(samples) {
      pushed += samples.length;
      for (const sample of samples) take(withoutOffset(Number.isFinite(sample) ? sample : 0));
    },
    finish() {
      const stepCount = Math.ceil(pushed / stepSamples);
      while (levels.rowCount < stepCount) take(0);
      return { stepCount, levelDb: levels.join(stepCount), bandsDb: bands.join(stepCount) };
    },
  };
}

/** One-pole high-pass at about 20 Hz: an offset or a slow drift is not heard and must not count as level. */
function createOffsetFilter(): (sample: number) => number {
  const pole = 1 - (2 * Math.PI * 20) / analysisSampleRateHz;
  let before = 0;
  let output = 0;
  return (sample) => {
    const limited = Math.max(-16, Math.min(16, sample));
    output = limited - before + pole * output;
    before = limited;
    return output;
  };
}

function createStepMeasure(levels: BlockList, bands: BlockList): (window: Float64Array) => void {
  const hann = Float64Array.from(
    { length: windowSamples },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / windowSamples),
  );
  const weightSum = hann.reduce((sum, weight) => sum + weight * weight, 0);
  const filters = melFilters();
  const powerSpectrum = createPowerSpectrum(transformSize);
  const shaped = new Float64Array(transformSize);
  const power = new Float64Array(transformSize / 2 + 1);
  const row = new Float32Array(bandCount);
  const level = new Float32Array(1);

  return (window) => {
    let energy = 0;
    for (let i = 0; i < windowSamples; i++) {
      const value = (window[i] ?? 0) * (hann[i] ?? 0);
      shaped[i] = value;
      energy += value * value;
    }
    powerSpectrum(shaped, power);
    level[0] = toDb(energy / weightSum);
    filters.forEach((filter, band) => {
      let sum = 0;
      filter.weights.forEach((weight, k) => (sum += weight * (power[filter.firstBin + k] ?? 0)));
      row[band] = toDb(sum / (weightSum * transformSize));
    });
    levels.append(level);
    bands.append(row);
  };
}

function toDb(power: number): number {
  return 10 * Math.log10(Math.max(power, quietestPower));
}

interface MelFilter {
  readonly firstBin: number;
  readonly weights: Float64Array;
}

/** Triangular filters, evenly spaced on the mel scale of O'Shaughnessy (2595 log10(1 + f / 700)). */
function melFilters(): MelFilter[] {
  const toMel = (hz: number): number => 2595 * Math.log10(1 + hz / 700);
  const toBin = (mel: number): number => ((10 ** (mel / 2595) - 1) * 700 * transformSize) / analysisSampleRateHz;
  const lowest = toMel(lowestBandHz);
  const spacing = (toMel(highestBandHz) - lowest) / (bandCount + 1);
  return Array.from({ length: bandCount }, (_, band) => {
    const left = toBin(lowest + band * spacing);
    const center = toBin(lowest + (band + 1) * spacing);
    const right = toBin(lowest + (band + 2) * spacing);
    const firstBin = Math.ceil(left);
    const weights = Float64Array.from({ length: Math.floor(right) - firstBin + 1 }, (_, k) => {
      const bin = firstBin + k;
      return bin <= center ? (bin - left) / (center - left) : (right - bin) / (right - center);
    });
    return { firstBin, weights };
  });
}
