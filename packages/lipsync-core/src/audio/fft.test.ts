import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RealFft } from './fft.ts';

/** The power spectrum by the definition of the discrete Fourier transform. */
function slowPowerSpectrum(samples: Float64Array): number[] {
  const size = samples.length;
  return Array.from({ length: size / 2 + 1 }, (_, k) => {
    const angle = (n: number): number => (-2 * Math.PI * ((n * k) % size)) / size;
    const real = samples.reduce((sum, sample, n) => sum + sample * Math.cos(angle(n)), 0);
    const imaginary = samples.reduce((sum, sample, n) => sum + sample * Math.sin(angle(n)), 0);
    return real ** 2 + imaginary ** 2;
  });
}

function powerOf(fft: RealFft, samples: Float64Array): Float64Array {
  const power = new Float64Array(samples.length / 2 + 1);
  fft.powerSpectrum(samples, power);
  return power;
}

describe('RealFft', () => {
  it.each([2, 8, 10, 32, 40, 50, 200, 512, 800])('The spectra of %i samples agree with the definition.', (size) => {
    const samples = Float64Array.from({ length: size }, (_, i) => Math.sin(i * i + 1) / 2);
    const fft = new RealFft(size);
    const power = powerOf(fft, samples);
    const magnitudes = new Float64Array(size / 2 + 1);
    fft.magnitudeSpectrum(samples, magnitudes);
    slowPowerSpectrum(samples).forEach((expected, k) => {
      expect(power[k]).toBeCloseTo(expected, 8);
      expect(magnitudes[k]).toBeCloseTo(Math.sqrt(expected), 8);
    });
  });

  it('The power spectrum of any signal agrees with the definition.', () => {
    const signals = fc
      .constantFrom(8, 50, 128)
      .chain((size) => fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: size, maxLength: size }));
    fc.assert(
      fc.property(signals, (signal) => {
        const samples = Float64Array.from(signal);
        const power = powerOf(new RealFft(samples.length), samples);
        slowPowerSpectrum(samples).forEach((expected, k) => expect(power[k]).toBeCloseTo(expected, 9));
      }),
    );
  });

  it('Repeated calls return the same result.', () => {
    const fft = new RealFft(200);
    const samples = Float64Array.from({ length: 200 }, (_, i) => Math.cos(3 * i * i + 2));
    expect(powerOf(fft, samples)).toEqual(powerOf(fft, samples));
  });

  it.each([0, 1, 3, 4, 14, 30, 64, 400, 802])(
    'A size of %i is refused because it is not twice a product of fours and fives.',
    (size) => {
      expect(() => new RealFft(size)).toThrow(RangeError);
    },
  );
});
