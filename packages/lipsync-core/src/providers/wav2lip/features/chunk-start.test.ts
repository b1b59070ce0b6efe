import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunkStartColumn } from './chunk-start.ts';

const rates = [
  { numerator: 24_000, denominator: 1_001 },
  { numerator: 25, denominator: 1 },
  { numerator: 30_000, denominator: 1_001 },
  { numerator: 30, denominator: 1 },
  { numerator: 50, denominator: 1 },
  { numerator: 60, denominator: 1 },
] as const;
const columnMs = 12.5;

describe('chunkStartColumn', () => {
  it('starts the chunks of 25 frames per second as the reference does', () => {
    expect(Array.from({ length: 8 }, (_, frame) => chunkStartColumn(frame, rates[1], 0))).toEqual([
      0, 3, 6, 9, 12, 16, 19, 22,
    ]);
  });

  it.each(rates)(
    'keeps within half a column of the sound at $numerator/$denominator, from the first frame to the last of 600 s',
    (rate) => {
      const frameCount = Math.round((600 * rate.numerator) / rate.denominator);
      for (const windowStartMs of [-40, 0, 125]) {
        const distancesMs = Float64Array.from({ length: frameCount }, (_, frame) => {
          const frameMs = (frame * 1000 * rate.denominator) / rate.numerator;
          // A column stands for the 12.5 ms from its start, of which the frame may hit any.
          const middleMs = (chunkStartColumn(frame, rate, windowStartMs) + 0.5) * columnMs;
          return Math.abs(middleMs - (frameMs + windowStartMs));
        });
        expect(distancesMs.reduce((most, distance) => Math.max(most, distance))).toBeLessThanOrEqual(
          columnMs / 2 + 1e-6,
        );
      }
    },
  );

  it('counts back in time from the first frame when the window starts earlier', () => {
    expect([0, 1, 2].map((frame) => chunkStartColumn(frame, rates[1], -40))).toEqual([-4, 0, 3]);
    expect(chunkStartColumn(0, rates[1], -25)).toBe(-2);
  });

  it('moves by whole seconds without rounding, at any rate and however late', () => {
    const rate = fc.record({
      numerator: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      denominator: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        rate,
        fc.integer({ min: -1000, max: 1000 }),
        (frame, frameRate, windowStartMs) => {
          const start = chunkStartColumn(frame, frameRate, windowStartMs);
          expect(chunkStartColumn(frame, frameRate, windowStartMs + 1000)).toBe(start + 80);
          expect(chunkStartColumn(frame + 1, frameRate, windowStartMs)).toBeGreaterThanOrEqual(start);
        },
      ),
    );
  });
});
