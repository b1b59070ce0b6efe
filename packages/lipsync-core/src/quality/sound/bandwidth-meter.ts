import { RealFft } from '../../audio/fft.ts';
import type { SoundBlock } from './sound-blocks.ts';

const fftSize = 2048;
/** The band ends where the mean spectrum stays this far below its maximum. */
const edgeDb = 60;
/** The spectrum is averaged over this width. */
const smoothingHz = 200;
/** The maximum is searched above hum and rumble. */
const lowestHz = 100;
/** Mean square of a window below which it counts as silence: −70 dBFS. */
const minPower = 1e-7;

/** Measures up to which frequency a sound reaches, at its own sample rate. Keeps one spectrum. */
export class BandwidthMeter {
  readonly #sampleRateHz: number;
  readonly #fft = new RealFft(fftSize);
  readonly #hann = Float64Array.from({ length: fftSize }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / fftSize));
  readonly #windowed = new Float64Array(fftSize);
  readonly #power = new Float64Array(fftSize / 2 + 1);
  readonly #sums = new Float64Array(fftSize / 2 + 1);
  readonly #windows: Float32Array[] = [];
  #filled = 0;

  constructor(sampleRateHz: number) {
    this.#sampleRateHz = sampleRateHz;
  }

  addBlock({ channels }: SoundBlock): void {
    const length = channels[0]?.length ?? 0;
    for (let start = 0; start < length;) {
      const count = Math.min(length - start, fftSize - this.#filled);
      channels.forEach((samples, channel) => {
        this.#windows[channel] ??= new Float32Array(fftSize);
        this.#windows[channel].set(samples.subarray(start, start + count), this.#filled);
      });
      start += count;
      this.#filled += count;
      if (this.#filled < fftSize) continue;
      for (const window of this.#windows) this.#addWindow(window);
      this.#filled = 0;
    }
  }

  /** The highest frequency within 60 dB of the strongest, in hertz; null for silence. */
  finish(): number | null {
    if (!this.#sums.some((power) => power > 0)) return null;
    const hertzPerBin = this.#sampleRateHz / fftSize;
    const width = Math.max(1, Math.round(smoothingHz / hertzPerBin));
    const smooth = this.#sums.map((_, bin) => meanAround(this.#sums, bin, width));
    const strongest = smooth.subarray(Math.ceil(lowestHz / hertzPerBin)).reduce((a, b) => Math.max(a, b), 0);
    const threshold = strongest * 10 ** (-edgeDb / 10);
    const edge = smooth.findLastIndex((power) => power >= threshold);
    return Math.round(edge * hertzPerBin);
  }

  #addWindow(samples: Float32Array): void {
    let power = 0;
    for (let i = 0; i < fftSize; i += 1) {
      const value = samples[i] ?? 0;
      power += value * value;
      this.#windowed[i] = value * (this.#hann[i] ?? 0);
    }
    if (power / fftSize < minPower) return;
    this.#fft.powerSpectrum(this.#windowed, this.#power);
    for (let bin = 0; bin < this.#sums.length; bin += 1)
      this.#sums[bin] = (this.#sums[bin] ?? 0) + (this.#power[bin] ?? 0);
  }
}

/** Mean of the logarithms, so that the flank of a filter is not smeared by the band below it. */
function meanAround(values: Float64Array, center: number, width: number): number {
  const start = Math.max(0, center - Math.floor(width / 2));
  const end = Math.min(values.length, start + width);
  let sum = 0;
  for (let bin = start; bin < end; bin += 1) sum += Math.log10((values[bin] ?? 0) + 1e-30);
  return 10 ** (sum / (end - start));
}
