import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { largestNearby, limitSpeed, percentile, smooth } from './smoothing.ts';

const curves = fc
  .array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 80 })
  .map((values) => Float32Array.from(values));

describe('smooth', () => {
  it('stays within the values it is given', () => {
    fc.assert(
      fc.property(curves, fc.constantFrom(1, 2.5, 6), (values, sigma) => {
        const smoothed = smooth(values, sigma);
        expect(Math.min(...smoothed)).toBeGreaterThanOrEqual(Math.min(...values) - 1e-6);
        expect(Math.max(...smoothed)).toBeLessThanOrEqual(Math.max(...values) + 1e-6);
      }),
    );
  });

  it('delays nothing: smoothing the curve backwards gives the smoothed curve backwards', () => {
    fc.assert(
      fc.property(curves, (values) => {
        const backwards = smooth(values.toReversed(), 2).toReversed();
        smooth(values, 2).forEach((value, i) => expect(value).toBeCloseTo(backwards[i] ?? Number.NaN, 5));
      }),
    );
  });
});

describe('limitSpeed', () => {
  it('never rises or falls faster than allowed and never exceeds the curve', () => {
    fc.assert(
      fc.property(curves, (values) => {
        const limited = limitSpeed(values, 0.1, 0.2);
        limited.forEach((value, i) => {
          expect(value).toBeLessThanOrEqual(values[i] ?? 0);
          const next = limited[i + 1] ?? value;
          expect(next - value).toBeLessThanOrEqual(0.1 + 1e-6);
          expect(value - next).toBeLessThanOrEqual(0.2 + 1e-6);
        });
      }),
    );
  });

  it('leaves a curve alone that is slow enough', () => {
    const slow = Float32Array.from([0, 0.05, 0.1, 0.15, 0.1, 0]);
    expect(limitSpeed(slow, 0.1, 0.2)).toEqual(slow);
  });
});

describe('largestNearby', () => {
  it('looks as far as its reach, to both sides', () => {
    expect([...largestNearby(Float32Array.of(0, 0, 1, 0, 0, 0), 1)]).toEqual([0, 1, 1, 1, 0, 0]);
  });
});

describe('percentile', () => {
  it('finds the value below which the share lies', () => {
    expect(percentile(Float32Array.of(4, 1, 3, 2), 0.5)).toBe(3);
    expect(percentile(Float32Array.of(4, 1, 3, 2), 1)).toBe(4);
  });

  it('answers nothing for no values', () => {
    expect(percentile(new Float32Array(), 0.5)).toBeUndefined();
  });
});
