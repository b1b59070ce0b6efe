import { at } from '../image/math.ts';

interface ComplexArray {
  readonly real: Float64Array;
  readonly imaginary: Float64Array;
}

const cosine72 = Math.cos((2 * Math.PI) / 5);
const cosine144 = Math.cos((4 * Math.PI) / 5);
const sine72 = Math.sin((2 * Math.PI) / 5);
const sine144 = Math.sin((4 * Math.PI) / 5);

/**
 * Fast Fourier transform of real signals in double precision. `size` is twice a product of fours and fives, e.g. 512 or
 * 800. Even samples become real and odd samples imaginary parts of a complex transform of half the size, a self-sorting
 * Stockham FFT with radix 4 and 5 (Cochran et al., "What is the fast Fourier transform?", 1967).
 */
export class RealFft {
  readonly #half: number;
  readonly #input: ComplexArray;
  readonly #scratch: ComplexArray;
  /** Twiddle factors e^(−2πik/half) of the complex transform. */
  readonly #twiddles: ComplexArray;
  /** e^(−2πik/size) as cosine and sine, which separate the spectra of even and odd samples. */
  readonly #cosines: Float64Array;
  readonly #sines: Float64Array;

  /** Throws a RangeError for an unsupported size. */
  constructor(size: number) {
    const half = size / 2;
    if (!isSupported(half))
      throw new RangeError(`The FFT size must be twice a product of fours and fives, not ${size}.`);
    this.#half = half;
    this.#input = complexArray(half);
    this.#scratch = complexArray(half);
    this.#twiddles = {
      real: Float64Array.from({ length: half }, (_, k) => Math.cos((2 * Math.PI * k) / half)),
      imaginary: Float64Array.from({ length: half }, (_, k) => -Math.sin((2 * Math.PI * k) / half)),
    };
    this.#cosines = Float64Array.from({ length: half + 1 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.#sines = Float64Array.from({ length: half + 1 }, (_, k) => Math.sin((2 * Math.PI * k) / size));
  }

  /** Writes the power |Σ x[n]·e^(−2πink/size)|² of the bins k = 0 … size/2 of `samples` into `power`. */
  powerSpectrum(samples: Float64Array, power: Float64Array): void {
    this.#separate(samples, (k, real, imaginary) => (power[k] = real * real + imaginary * imaginary));
  }

  /** Writes the complex spectrum Σ x[n]·e^(−2πink/size) of the bins k = 0 … size/2 of `samples`. */
  spectrum(samples: Float64Array, real: Float64Array, imaginary: Float64Array): void {
    this.#separate(samples, (k, realPart, imaginaryPart) => {
      real[k] = realPart;
      imaginary[k] = imaginaryPart;
    });
  }

  /** Separates the spectra of even and odd samples, and passes on the sum for the bins k = 0 … size/2. */
  #separate(samples: Float64Array, write: (k: number, real: number, imaginary: number) => void): void {
    const half = this.#half;
    const cosines = this.#cosines;
    const sines = this.#sines;
    const { real, imaginary } = this.#transform(samples);
    for (let k = 0; k <= half; k += 1) {
      const left = k === half ? 0 : k;
      const right = k === 0 ? 0 : half - k;
      const evenReal = ((real[left] ?? 0) + (real[right] ?? 0)) / 2;
      const evenImaginary = ((imaginary[left] ?? 0) - (imaginary[right] ?? 0)) / 2;
      const oddReal = ((imaginary[left] ?? 0) + (imaginary[right] ?? 0)) / 2;
      const oddImaginary = ((real[right] ?? 0) - (real[left] ?? 0)) / 2;
      const cosine = cosines[k] ?? 0;
      const sine = sines[k] ?? 0;
      write(
        k,
        evenReal + oddReal * cosine + oddImaginary * sine,
        evenImaginary + oddImaginary * cosine - oddReal * sine,
      );
    }
  }

  /** Writes the magnitude of the bins k = 0 … size/2 of `samples` into `magnitudes`. */
  magnitudeSpectrum(samples: Float64Array, magnitudes: Float64Array): void {
    this.powerSpectrum(samples, magnitudes);
    for (let k = 0; k <= this.#half; k += 1) magnitudes[k] = Math.sqrt(magnitudes[k] ?? 0);
  }

  /** Returns the complex spectrum of the packed samples. It is valid until the next call. */
  #transform(samples: Float64Array): ComplexArray {
    let from = this.#input;
    let to = this.#scratch;
    for (let i = 0; i < this.#half; i += 1) {
      from.real[i] = samples[2 * i] ?? 0;
      from.imaginary[i] = samples[2 * i + 1] ?? 0;
    }
    for (let stride = 1; stride < this.#half;) {
      const radix = (this.#half / stride) % 4 === 0 ? 4 : 5;
      if (radix === 4) radix4Pass(from, to, stride, this.#twiddles);
      else radix5Pass(from, to, stride, this.#twiddles);
      [from, to] = [to, from];
      stride *= radix;
    }
    return from;
  }
}

function isSupported(half: number): boolean {
  if (!Number.isInteger(half) || half < 1) return false;
  let rest = half;
  while (rest % 4 === 0) rest /= 4;
  while (rest % 5 === 0) rest /= 5;
  return rest === 1;
}

function complexArray(size: number): ComplexArray {
  return { real: new Float64Array(size), imaginary: new Float64Array(size) };
}

/** One Stockham pass: combines elements a quarter of the size apart and writes them in the order of the next pass. */
function radix4Pass({ real, imaginary }: ComplexArray, to: ComplexArray, stride: number, twiddles: ComplexArray): void {
  const quarter = real.length / 4;
  const { real: toReal, imaginary: toImaginary } = to;
  const { real: cosines, imaginary: sines } = twiddles;
  for (let block = 0; block < quarter; block += stride) {
    const c1 = at(cosines, block);
    const s1 = at(sines, block);
    const c2 = at(cosines, 2 * block);
    const s2 = at(sines, 2 * block);
    const c3 = at(cosines, 3 * block);
    const s3 = at(sines, 3 * block);
    for (let i = block; i < block + stride; i += 1) {
      const evenSumReal = at(real, i) + at(real, i + 2 * quarter);
      const evenSumImaginary = at(imaginary, i) + at(imaginary, i + 2 * quarter);
      const evenGapReal = at(real, i) - at(real, i + 2 * quarter);
      const evenGapImaginary = at(imaginary, i) - at(imaginary, i + 2 * quarter);
      const oddSumReal = at(real, i + quarter) + at(real, i + 3 * quarter);
      const oddSumImaginary = at(imaginary, i + quarter) + at(imaginary, i + 3 * quarter);
      const oddGapReal = at(real, i + quarter) - at(real, i + 3 * quarter);
      const oddGapImaginary = at(imaginary, i + quarter) - at(imaginary, i + 3 * quarter);
      const real1 = evenGapReal + oddGapImaginary;
      const imaginary1 = evenGapImaginary - oddGapReal;
      const real2 = evenSumReal - oddSumReal;
      const imaginary2 = evenSumImaginary - oddSumImaginary;
      const real3 = evenGapReal - oddGapImaginary;
      const imaginary3 = evenGapImaginary + oddGapReal;
      const index = 3 * block + i;
      toReal[index] = evenSumReal + oddSumReal;
      toImaginary[index] = evenSumImaginary + oddSumImaginary;
      toReal[index + stride] = real1 * c1 - imaginary1 * s1;
      toImaginary[index + stride] = real1 * s1 + imaginary1 * c1;
      toReal[index + 2 * stride] = real2 * c2 - imaginary2 * s2;
      toImaginary[index + 2 * stride] = real2 * s2 + imaginary2 * c2;
      toReal[index + 3 * stride] = real3 * c3 - imaginary3 * s3;
      toImaginary[index + 3 * stride] = real3 * s3 + imaginary3 * c3;
    }
  }
}

/** The same for elements a fifth of the size apart. */
function radix5Pass({ real, imaginary }: ComplexArray, to: ComplexArray, stride: number, twiddles: ComplexArray): void {
  const fifth = real.length / 5;
  const { real: toReal, imaginary: toImaginary } = to;
  const { real: cosines, imaginary: sines } = twiddles;
  for (let block = 0; block < fifth; block += stride) {
    const c1 = at(cosines, block);
    const s1 = at(sines, block);
    const c2 = at(cosines, 2 * block);
    const s2 = at(sines, 2 * block);
    const c3 = at(cosines, 3 * block);
    const s3 = at(sines, 3 * block);
    const c4 = at(cosines, 4 * block);
    const s4 = at(sines, 4 * block);
    for (let i = block; i < block + stride; i += 1) {
      const real0 = at(real, i);
      const imaginary0 = at(imaginary, i);
      const outerReal = at(real, i + fifth) + at(real, i + 4 * fifth);
      const outerImaginary = at(imaginary, i + fifth) + at(imaginary, i + 4 * fifth);
      const outerGapReal = at(real, i + fifth) - at(real, i + 4 * fifth);
      const outerGapImaginary = at(imaginary, i + fifth) - at(imaginary, i + 4 * fifth);
      const innerReal = at(real, i + 2 * fifth) + at(real, i + 3 * fifth);
      const innerImaginary = at(imaginary, i + 2 * fifth) + at(imaginary, i + 3 * fifth);
      const innerGapReal = at(real, i + 2 * fifth) - at(real, i + 3 * fifth);
      const innerGapImaginary = at(imaginary, i + 2 * fifth) - at(imaginary, i + 3 * fifth);
      const nearReal = real0 + cosine72 * outerReal + cosine144 * innerReal;
      const nearImaginary = imaginary0 + cosine72 * outerImaginary + cosine144 * innerImaginary;
      const farReal = real0 + cosine144 * outerReal + cosine72 * innerReal;
      const farImaginary = imaginary0 + cosine144 * outerImaginary + cosine72 * innerImaginary;
      const nearGapReal = sine72 * outerGapReal + sine144 * innerGapReal;
      const nearGapImaginary = sine72 * outerGapImaginary + sine144 * innerGapImaginary;
      const farGapReal = sine144 * outerGapReal - sine72 * innerGapReal;
      const farGapImaginary = sine144 * outerGapImaginary - sine72 * innerGapImaginary;
      const real1 = nearReal + nearGapImaginary;
      const imaginary1 = nearImaginary - nearGapReal;
      const real2 = farReal + farGapImaginary;
      const imaginary2 = farImaginary - farGapReal;
      const real3 = farReal - farGapImaginary;
      const imaginary3 = farImaginary + farGapReal;
      const real4 = nearReal - nearGapImaginary;
      const imaginary4 = nearImaginary + nearGapReal;
      const index = 4 * block + i;
      toReal[index] = real0 + outerReal + innerReal;
      toImaginary[index] = imaginary0 + outerImaginary + innerImaginary;
      toReal[index + stride] = real1 * c1 - imaginary1 * s1;
      toImaginary[index + stride] = real1 * s1 + imaginary1 * c1;
      toReal[index + 2 * stride] = real2 * c2 - imaginary2 * s2;
      toImaginary[index + 2 * stride] = real2 * s2 + imaginary2 * c2;
      toReal[index + 3 * stride] = real3 * c3 - imaginary3 * s3;
      toImaginary[index + 3 * stride] = real3 * s3 + imaginary3 * c3;
      toReal[index + 4 * stride] = real4 * c4 - imaginary4 * s4;
      toImaginary[index + 4 * stride] = real4 * s4 + imaginary4 * c4;
    }
  }
}
