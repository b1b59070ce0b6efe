import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gaussianSmooth, limitSlewRate, quantile, slidingMaximum } from './time-series.ts';

const curves = fc
  .array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 80 })
  .map((values) => Float32Array.from(values));

describe('gaussianSmooth', () => {
  it('Smoothed values stay within the range of the input.', () => {
    fc.assert(
      fc.property(curves, fc.constantFrom(1, 2.5, 6), (values, sigma) => {
        const smoothed = gaussianSmooth(values, sigma);
        expect(Math.min(...smoothed)).toBeGreaterThanOrEqual(Math.min(...values) - 1e-6);
        expect(Math.max(...smoothed)).toBeLessThanOrEqual(Math.max(...values) + 1e-6);
      }),
    );
  });

  it('Smoothing adds no delay: the reversed curve gives the reversed result.', () => {
    fc.assert(
      fc.property(curves, (values) => {
        const backwards = gaussianSmooth(values.toReversed(), 2).toReversed();
        gaussianSmooth(values, 2).forEach((value, i) => expect(value).toBeCloseTo(backwards[i] ?? Number.NaN, 5));
      }),
    );
  });
});

describe('limitSlewRate', () => {
  it('The limited curve respects both slew rates and never exceeds the input.', () => {
    fc.assert(
      fc.property(curves, (values) => {
        const limited = limitSlewRate(values, 0.1, 0.2);
        limited.forEach((value, i) => {
          expect(value).toBeLessThanOrEqual(values[i] ?? 0);
          const next = limited[i + 1] ?? value;
          expect(next - value).toBeLessThanOrEqual(0.1 + 1e-6);
          expect(value - next).toBeLessThanOrEqual(0.2 + 1e-6);
        });
      }),
    );
  });

  it('A curve within the slew rates is unchanged.', () => {
    const slow = Float32Array.from([0, 0.05, 0.1, 0.15, 0.1, 0]);
    expect(limitSlewRate(slow, 0.1, 0.2)).toEqual(slow);
  });
});

describe('slidingMaximum', () => {
  it('The window reaches `radius` steps to both sides.', () => {
    expect([...slidingMaximum(Float32Array.of(0, 0, 1, 0, 0, 0), 1)]).toEqual([0, 1, 1, 1, 0, 0]);
  });
});

describe('quantile', () => {
  it('A quantile is the value below which the given fraction lies.', () => {
    expect(quantile(Float32Array.of(4, 1, 3, 2), 0.5)).toBe(3);
    expect(quantile(Float32Array.of(4, 1, 3, 2), 1)).toBe(4);
  });

  it('A quantile of no values is undefined.', () => {
    expect(quantile(new Float32Array(), 0.5)).toBeUndefined();
  });
});
