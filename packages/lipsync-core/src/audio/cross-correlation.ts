import { RealFft } from './fft.ts';

/**
 * Locates a window of one recording within a longer part of another, to the sample. Lengths are fixed, so that one
 * FFT serves all windows; `fftSize` is at least `searchedSamples` and a size that `RealFft` supports.
 */
export class CrossCorrelator {
  readonly #fft: RealFft;
  readonly #size: number;
  readonly #padded: Float64Array;
  readonly #windowReal: Float64Array;
  readonly #windowImaginary: Float64Array;
  readonly #real: Float64Array;
  readonly #imaginary: Float64Array;

  constructor(fftSize: number) {
    this.#fft = new RealFft(fftSize);
    this.#size = fftSize;
    this.#padded = new Float64Array(fftSize);
    const bins = fftSize / 2 + 1;
    this.#windowReal = new Float64Array(bins);
    this.#windowImaginary = new Float64Array(bins);
    this.#real = new Float64Array(bins);
    this.#imaginary = new Float64Array(bins);
  }

  /**
   * The position in `searched`, in samples, where `window` correlates best, and the normalized correlation there (cosine
   * of the two parts, −1 to 1; 0 for silence). `searched` is longer than `window` and at most `fftSize` long.
   */
  locate(window: Float32Array, searched: Float32Array): { readonly position: number; readonly correlation: number } {
    const products = this.#correlate(window, searched);
    const windowPower = sumOfSquares(window, 0, window.length);
    let power = sumOfSquares(searched, 0, window.length);
    let best = { position: 0, correlation: 0 };
    for (let position = 0; position + window.length <= searched.length; position += 1) {
      const scale = Math.sqrt(windowPower * Math.max(0, power));
      const correlation = scale > 1e-12 ? (products[position] ?? 0) / scale : 0;
      if (correlation > best.correlation) best = { position, correlation };
      power += (searched[position + window.length] ?? 0) ** 2 - (searched[position] ?? 0) ** 2;
    }
    return best;
  }

  /** Σ window[n]·searched[n + position] for every position, circular over the size of the FFT. */
  #correlate(window: Float32Array, searched: Float32Array): Float64Array {
    this.#transform(window, this.#windowReal, this.#windowImaginary);
    this.#transform(searched, this.#real, this.#imaginary);
    const half = this.#size / 2;
    // The inverse as a Hartley transform: the same forward FFT of Re − Im of the product of the spectra.
    for (let k = 0; k <= half; k += 1) {
      const [a, b] = [this.#windowReal[k] ?? 0, this.#windowImaginary[k] ?? 0];
      const [c, d] = [this.#real[k] ?? 0, this.#imaginary[k] ?? 0];
      const real = a * c + b * d;
      const imaginary = a * d - b * c;
      this.#padded[k] = real - imaginary;
      if (k > 0 && k < half) this.#padded[this.#size - k] = real + imaginary;
    }
    this.#fft.spectrum(this.#padded, this.#real, this.#imaginary);
    const products = this.#padded;
    for (let n = 0; n <= half; n += 1) {
      const [real, imaginary] = [this.#real[n] ?? 0, this.#imaginary[n] ?? 0];
      products[n] = (real - imaginary) / this.#size;
      if (n > 0 && n < half) products[this.#size - n] = (real + imaginary) / this.#size;
    }
    return products;
  }

  #transform(samples: Float32Array, real: Float64Array, imaginary: Float64Array): void {
    this.#padded.fill(0);
    this.#padded.set(samples);
    this.#fft.spectrum(this.#padded, real, imaginary);
  }
}

function sumOfSquares(samples: Float32Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i += 1) sum += (samples[i] ?? 0) ** 2;
  return sum;
}
