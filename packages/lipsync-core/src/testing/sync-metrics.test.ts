import { describe, expect, it } from 'vitest';
import { bestLag, correlation, energyPerFrame, expectedMeter, melLevels, meterDelayMs } from './sync-metrics.ts';

const frameRate = { numerator: 25, denominator: 1 };
const tenFps = { numerator: 10, denominator: 1 };
const frameCount = 100;
/** Non-repeating levels with the modulation of syllables, −4 to 4. */
const levels = Float32Array.from({ length: 320 }, (_, column) => 4 * Math.sin(column / 5) * Math.sin(column / 23));
const expected = expectedMeter(levels, frameCount, { frameRate, windowStartMs: 0 });

describe('expectedMeter', () => {
  it('Silence is black, the maximum level is white, and frames after the end are black.', () => {
    const steps = new Float32Array(48).fill(-4).fill(4, 16, 32);
    expect([...expectedMeter(steps, 4, { frameRate: { numerator: 5, denominator: 1 }, windowStartMs: 0 })]).toEqual([
      0, 1, 0, 0,
    ]);
  });

  it('A level change within the window is weighted by its duration.', () => {
    const steps = new Float32Array(32).fill(-4).fill(4, 16);
    expect(expectedMeter(steps, 2, { frameRate: tenFps, windowStartMs: 0 })[1]).toBeCloseTo(0.5, 5);
    expect(expectedMeter(steps, 2, { frameRate: tenFps, windowStartMs: 5 })[1]).toBeCloseTo(0.525, 5);
  });
});

describe('meterDelayMs', () => {
  it.each([0, 1])('A picture that is %i frames late has that lag and delay.', (frames) => {
    const late = Float32Array.from(expected, (_, index) => expected[index - frames] ?? expected[0] ?? 0);
    expect(bestLag(expected, late, 5).lag).toBe(frames);
    expect(Math.abs(meterDelayMs(late, levels, { frameRate, windowStartMs: 0 }) - frames * 40)).toBeLessThanOrEqual(2);
  });

  it('A drift is measured from firstFrame.', () => {
    const drifting = expected.map((gray, index) => (index < 50 ? gray : (expected[index - 1] ?? 0)));
    expect(
      Math.abs(meterDelayMs(drifting, levels, { frameRate, windowStartMs: 0, firstFrame: 50 }) - 40),
    ).toBeLessThanOrEqual(2);
    expect(
      Math.abs(meterDelayMs(drifting.subarray(0, 50), levels, { frameRate, windowStartMs: 0 })),
    ).toBeLessThanOrEqual(2);
  });
});

describe('melLevels', () => {
  it('Silence has the lowest level, with one column per 12.5 ms.', () => {
    const silence = melLevels(new Float32Array(16_000));
    expect(silence).toHaveLength(81);
    expect(new Set(silence)).toEqual(new Set([-4]));
  });
});

describe('energyPerFrame', () => {
  it('The energy of a frame is the root mean square of its samples.', () => {
    const samples = new Float32Array(1600).fill(0.5, 0, 640).fill(-0.25, 640, 1280);
    const [first, second, third, beyond] = energyPerFrame(samples, 16_000, 25, 4);
    expect([first, second, third, beyond]).toEqual([0.5, 0.25, 0, 0]);
  });
});

describe('correlation', () => {
  it('Correlation is 1 up to gain and offset, −1 for the negated series, and 0 for a constant.', () => {
    const a = Float32Array.of(0, 1, 0, 2, 5);
    expect(
      correlation(
        a,
        a.map((value) => 3 * value - 1),
      ),
    ).toBeCloseTo(1, 6);
    expect(
      correlation(
        a,
        a.map((value) => -value),
      ),
    ).toBeCloseTo(-1, 6);
    expect(correlation(a, new Float32Array(5).fill(0.3))).toBe(0);
  });

  it('Series of different lengths throw a RangeError.', () => {
    expect(() => correlation(new Float32Array(2), new Float32Array(3))).toThrow(RangeError);
  });
});

describe('bestLag', () => {
  it('The lag of the second series is found.', () => {
    const a = Float32Array.from({ length: 60 }, (_, i) => Math.sin(i * i * 0.05));
    const later = Float32Array.from({ length: 60 }, (_, i) => a[i - 2] ?? 0);
    const best = bestLag(a, later, 4);
    expect(best.lag).toBe(2);
    expect(best.r).toBeCloseTo(1, 6);
    expect(bestLag(later, a, 4).lag).toBe(-2);
  });
});
