import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearestStandard, parseFrameRate, settleFrameRate } from './frame-rate.ts';
import { framesPerSecond, type FrameRate } from './media-types.ts';

function steadyTimes(rate: FrameRate, count: number, round = (time: number): number => time): Float64Array {
  return Float64Array.from({ length: count }, (_, index) => round((index * rate.denominator) / rate.numerator));
}

describe('settleFrameRate', () => {
  it('keeps any steady rate up to 240 frames per second exactly, even with times rounded to milliseconds', () => {
    const rational = fc.record({
      numerator: fc.integer({ min: 1000, max: 240_000 }),
      denominator: fc.constantFrom(1000, 1001),
    });
    fc.assert(
      fc.property(rational, fc.integer({ min: 2, max: 500 }), (rate, count) => {
        fc.pre(framesPerSecond(rate) <= 240);
        const settled = settleFrameRate(
          steadyTimes(rate, count, (time) => Math.round(time * 1000) / 1000),
          [rate],
        );
        expect(settled.variable).toBe(false);
        expect(framesPerSecond(settled.frameRate)).toBeCloseTo(framesPerSecond(rate), 2);
      }),
    );
  });

  it('prefers the rate that the frames keep to: fields are stated at twice the rate of frames', () => {
    const frames = { numerator: 25, denominator: 1 };
    expect(settleFrameRate(steadyTimes(frames, 50), [{ numerator: 50, denominator: 1 }, frames])).toEqual({
      frameRate: frames,
      variable: false,
    });
  });

  it('brings uneven times to the standard rate nearest their average', () => {
    const times = Float64Array.of(0, 0.03, 0.09, 0.1, 0.16, 0.2);
    expect(settleFrameRate(times, [{ numerator: 25, denominator: 1 }])).toEqual({
      frameRate: { numerator: 25, denominator: 1 },
      variable: true,
    });
  });

  it('brings rates above 240 down to a standard one', () => {
    const rate = { numerator: 480, denominator: 1 };
    expect(settleFrameRate(steadyTimes(rate, 100), [rate])).toEqual({
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
  ])('%f becomes %f', (rate, expected) => {
    expect(framesPerSecond(nearestStandard(rate))).toBeCloseTo(expected, 6);
  });
});

describe('parseFrameRate', () => {
  it('reads a ratio', () => expect(parseFrameRate('30000/1001')).toEqual({ numerator: 30000, denominator: 1001 }));
  it('knows that 0/0 says nothing', () => expect(parseFrameRate('0/0')).toBeUndefined());
});
