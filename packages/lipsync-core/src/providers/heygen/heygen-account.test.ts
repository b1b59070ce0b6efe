import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chargedMicros, quotedMicros } from './heygen-account.ts';

const hourMs = 3_600_000;

describe('chargedMicros', () => {
  it.each([
    [30, 33_300, 999_000],
    [30, 66_700, 2_001_000],
    [12.48, 66_700, 832_416],
    [0.005, 33_300, 167],
    [0, 33_300, 0],
  ])('An output of %d s at %d a second costs %d.', (durationS, rate, micros) => {
    expect(chargedMicros(durationS, rate)).toBe(micros);
  });

  it('The charge is an integer that does not depend on milliseconds or seconds as the unit.', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: hourMs }), fc.integer({ min: 0, max: 1_000_000 }), (durationMs, rate) => {
        expect(chargedMicros(durationMs / 1000, rate)).toBe(Math.round((durationMs * rate) / 1000));
      }),
    );
  });

  it('The charge never exceeds the quote, whichever way HeyGen rounds the last millisecond.', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: hourMs, noNaN: true }),
        fc.integer({ min: 0, max: 1_000_000 }),
        (durationMs, rate) => {
          const quoted = quotedMicros(durationMs, rate);
          expect(Number.isSafeInteger(quoted)).toBe(true);
          for (const round of [Math.floor, Math.round, Math.ceil])
            expect(chargedMicros(round(durationMs) / 1000, rate)).toBeLessThanOrEqual(quoted);
        },
      ),
    );
  });
});
