import { complexArray, createComplexTransform } from './complex-transform.ts';

/**
 * Makes a function that writes the magnitudes |Σ x[n]·e^(−2πi·n·k/size)|, k = 0 … size/2, of `size` real samples into
 * its second argument. Half of `size` is a product of fours and fives. Even samples travel as real, odd ones as
 * imaginary parts, which halves the transform.
 */
export function createMagnitudeSpectrum(size: number): (samples: Float64Array, magnitudes: Float64Array) => void {
  const half = size / 2;
  const transform = createComplexTransform(half);
  const packed = complexArray(half);
  const cosines = Float64Array.from({ length: half + 1 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
  const sines = Float64Array.from({ length: half + 1 }, (_, k) => Math.sin((2 * Math.PI * k) / size));

  return (samples, magnitudes) => {
    for (let i = 0; i < half; i++) {
      packed.real[i] = samples[2 * i] ?? 0;
      packed.imaginary[i] = samples[2 * i + 1] ?? 0;
    }
    const { real, imaginary } = transform(packed);
    for (let k = 0; k <= half; k++) {
      const left = k % half;
      const right = (half - k) % half;
      const evenReal = ((real[left] ?? 0) + (real[right] ?? 0)) / 2;
      const evenImaginary = ((imaginary[left] ?? 0) - (imaginary[right] ?? 0)) / 2;
      const oddReal = ((imaginary[left] ?? 0) + (imaginary[right] ?? 0)) / 2;
      const oddImaginary = ((real[right] ?? 0) - (real[left] ?? 0)) / 2;
      const cosine = cosines[k] ?? 0;
      const sine = sines[k] ?? 0;
      const sumReal = evenReal + oddReal * cosine + oddImaginary * sine;
      const sumImaginary = evenImaginary + oddImaginary * cosine - oddReal * sine;
      magnitudes[k] = Math.sqrt(sumReal * sumReal + sumImaginary * sumImaginary);
    }
  };
}
