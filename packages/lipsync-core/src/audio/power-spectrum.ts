/**
 * Makes a function that writes the power spectrum of `size` real samples (bins 0 … size/2) into its second argument.
 * `size` is a power of two; the tables are made once. Iterative radix-2 transform after Cooley and Tukey (1965).
 */
export function createPowerSpectrum(size: number): (samples: Float64Array, power: Float64Array) => void {
  if (size < 2 || (size & (size - 1)) !== 0) throw new RangeError(`The transform needs a power of two, not ${size}.`);
  const cosines = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
  const sines = Float64Array.from({ length: size / 2 }, (_, k) => Math.sin((2 * Math.PI * k) / size));
  const reversed = bitReversal(size);
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);

  return (samples, power) => {
    for (let i = 0; i < size; i++) real[reversed[i] ?? 0] = samples[i] ?? 0;
    imaginary.fill(0);
    for (let half = 1; half < size; half *= 2) butterflies(real, imaginary, half, cosines, sines);
    for (let k = 0; k <= size / 2; k++) power[k] = (real[k] ?? 0) ** 2 + (imaginary[k] ?? 0) ** 2;
  };
}

function bitReversal(size: number): Uint32Array {
  const reversed = new Uint32Array(size);
  for (let i = 1; i < size; i++) reversed[i] = ((reversed[i >> 1] ?? 0) >> 1) | (i & 1 ? size >> 1 : 0);
  return reversed;
}

/** One stage of the transform: joins neighboring spectra of `half` bins into spectra of twice as many. */
function butterflies(
  real: Float64Array,
  imaginary: Float64Array,
  half: number,
  cosines: Float64Array,
  sines: Float64Array,
): void {
  const size = real.length;
  const stride = size / (2 * half);
  for (let start = 0; start < size; start += 2 * half) {
    for (let k = 0; k < half; k++) {
      const cosine = cosines[k * stride] ?? 0;
      const sine = sines[k * stride] ?? 0;
      const even = start + k;
      const odd = even + half;
      const oddReal = real[odd] ?? 0;
      const oddImaginary = imaginary[odd] ?? 0;
      const turnedReal = oddReal * cosine + oddImaginary * sine;
      const turnedImaginary = oddImaginary * cosine - oddReal * sine;
      real[odd] = (real[even] ?? 0) - turnedReal;
      imaginary[odd] = (imaginary[even] ?? 0) - turnedImaginary;
      real[even] = (real[even] ?? 0) + turnedReal;
      imaginary[even] = (imaginary[even] ?? 0) + turnedImaginary;
    }
  }
}
