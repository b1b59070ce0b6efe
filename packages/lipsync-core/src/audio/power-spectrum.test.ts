import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPowerSpectrum } from './power-spectrum.ts';

/** The definition, term by term. */
function slowPowerSpectrum(samples: Float64Array): number[] {
  return Array.from({ length: samples.length / 2 + 1 }, (_, k) => {
    const turn = (-2 * Math.PI * k) / samples.length;
    const real = samples.reduce((sum, sample, i) => sum + sample * Math.cos(turn * i), 0);
    const imaginary = samples.reduce((sum, sample, i) => sum + sample * Math.sin(turn * i), 0);
    return real ** 2 + imaginary ** 2;
  });
}

describe('createPowerSpectrum', () => {
  it('agrees with the definition of the Fourier transform', () => {
    const signals = fc
      .constantFrom(2, 8, 64)
      .chain((size) => fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: size, maxLength: size }));
    fc.assert(
      fc.property(signals, (signal) => {
        const samples = Float64Array.from(signal);
        const power = new Float64Array(samples.length / 2 + 1);
        createPowerSpectrum(samples.length)(samples, power);
        slowPowerSpectrum(samples).forEach((expected, k) => expect(power[k]).toBeCloseTo(expected, 9));
      }),
    );
  });

  it('refuses a size that is no power of two', () => {
    expect(() => createPowerSpectrum(400)).toThrow(RangeError);
  });
});
