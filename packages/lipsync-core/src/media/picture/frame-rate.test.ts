import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearestStandard, parseFrameRate, chooseFrameRate } from './frame-rate.ts';
import { framesPerSecond, type FrameRate } from '../media-types.ts';

function steadyTimes(rate: FrameRate, count: number, round = (time: number): number => time): Float64Array {
  return Float64Array.from({ length: count }, (_, index) => round((index * rate.denominator) / rate.numerator));
}

describe('chooseFrameRate', () => {
  it('A steady rate of 20 to 240 frames per second is kept exactly, even with times rounded to milliseconds.', () => {
    const rational = fc.record({
      numerator: fc.integer({ min: 1000, max: 240_000 }),
      denominator: fc.constantFrom(1000, 1001),
    });
    fc.assert(
      fc.property(rational, fc.integer({ min: 2, max: 500 }), (rate, count) => {
        fc.pre(framesPerSecond(rate) >= 20 && framesPerSecond(rate) <= 240);
        const settled = chooseFrameRate(
          steadyTimes(rate, count, (time) => Math.round(time * 1000) / 1000),
          [rate],
        );
        expect(settled.variable).toBe(false);
        expect(framesPerSecond(settled.frameRate)).toBeCloseTo(framesPerSecond(rate), 2);
      }),
    );
  });

  it('A steady rate below 20 frames per second is raised to its smallest multiple of at least 25.', () => {
    fc.assert(
      fc.property(fc.integer({ min: 250, max: 19_999 }), (thousandths) => {
        const rate = { numerator: thousandths, denominator: 1000 };
        const { frameRate, lowFrameRate, variable } = chooseFrameRate(steadyTimes(rate, 20), [rate]);
        const factor = framesPerSecond(frameRate) / framesPerSecond(rate);
        expect(factor).toBeCloseTo(Math.round(factor), 6);
        expect(framesPerSecond(frameRate)).toBeGreaterThanOrEqual(25);
        expect(framesPerSecond(frameRate) - framesPerSecond(rate)).toBeLessThan(25);
        expect({ lowFrameRate, variable }).toEqual({ lowFrameRate: framesPerSecond(rate), variable: false });
      }),
    );
  });

  it('The stated rate that matches the frame times wins over the field rate, which is twice as high.', () => {
    const frames = { numerator: 25, denominator: 1 };
    expect(chooseFrameRate(steadyTimes(frames, 50), [{ numerator: 50, denominator: 1 }, frames])).toEqual({
      frameRate: frames,
      variable: false,
    });
  });

  it('Uneven frame times yield the standard rate nearest to their average.', () => {
    const times = Float64Array.of(0, 0.03, 0.09, 0.1, 0.16, 0.2);
    expect(chooseFrameRate(times, [{ numerator: 25, denominator: 1 }])).toEqual({
      frameRate: { numerator: 25, denominator: 1 },
      variable: true,
    });
  });

  it('A rate above 240 frames per second is replaced by a standard rate.', () => {
    const rate = { numerator: 480, denominator: 1 };
    expect(chooseFrameRate(steadyTimes(rate, 100), [rate])).toEqual({
      frameRate: { numerator: 60, denominator: 1 },
      variable: true,
    });
  });
});

describe('nearestStandard', () => {
  it.each([
    [10, 24000 / 1001],
    [23.98, 24000 / 1001],
    [24.1, 24],
    [29.96, 30000 / 1001],
    [31, 30],
    [49.9, 50],
    [59.95, 60000 / 1001],
    [100, 60],
  ])('The standard rate nearest to %f is %f.', (rate, expected) => {
    expect(framesPerSecond(nearestStandard(rate))).toBeCloseTo(expected, 6);
  });
});

describe('parseFrameRate', () => {
  it('A ratio is parsed as a frame rate.', () =>
    expect(parseFrameRate('30000/1001')).toEqual({ numerator: 30000, denominator: 1001 }));
  it('The ratio 0/0 is parsed as unknown.', () => expect(parseFrameRate('0/0')).toBeUndefined());
});
