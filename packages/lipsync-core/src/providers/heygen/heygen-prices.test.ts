import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { billedMicros, quotedMicros } from './heygen-prices.ts';

const hourMs = 3_600_000;

describe('the price of an output', () => {
  it.each([
    [30, 33_300, 999_000],
    [30, 66_700, 2_001_000],
    [12.48, 66_700, 832_416],
    [0.005, 33_300, 167],
    [0, 33_300, 0],
  ])('of %d s at %d a second is %d', (durationS, rate, micros) => {
    expect(billedMicros(durationS, rate)).toBe(micros);
  });

  it('is whole, and the same whether the vendor counts in milliseconds or tells seconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: hourMs }), fc.integer({ min: 0, max: 1_000_000 }), (durationMs, rate) => {
        expect(billedMicros(durationMs / 1000, rate)).toBe(Math.round((durationMs * rate) / 1000));
      }),
    );
  });

  it('is never more than was quoted for the length that was asked for, however its last millisecond is rounded', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: hourMs, noNaN: true }),
        fc.integer({ min: 0, max: 1_000_000 }),
        (durationMs, rate) => {
          const quoted = quotedMicros(durationMs, rate);
          expect(Number.isSafeInteger(quoted)).toBe(true);
          for (const round of [Math.floor, Math.round, Math.ceil])
            expect(billedMicros(round(durationMs) / 1000, rate)).toBeLessThanOrEqual(quoted);
        },
      ),
    );
  });
});
