import { describe, expect, it } from 'vitest';
import { bestLag } from './lip-judge.ts';
import { expectedMeter, melLevels, meterDelayMs } from './meter-judge.ts';

const frameRate = { numerator: 25, denominator: 1 };
const frameCount = 100;
/** Levels that rise and fall like syllables, from silence to the loudest, never twice alike. */
const levels = Float32Array.from({ length: 320 }, (_, column) => 4 * Math.sin(column / 5) * Math.sin(column / 23));
const expected = expectedMeter(levels, frameRate, frameCount, 0);

describe('what a meter owes to its frames', () => {
  it('is black in silence, white where everything is loudest, and black beyond the end', () => {
    const steps = new Float32Array(48).fill(-4).fill(4, 16, 32);
    expect([...expectedMeter(steps, { numerator: 5, denominator: 1 }, 4, 0)]).toEqual([0, 1, 0, 0]);
  });

  it('is a mixture where the sound changes within its 200 ms', () => {
    const steps = new Float32Array(32).fill(-4).fill(4, 16);
    expect(expectedMeter(steps, { numerator: 10, denominator: 1 }, 2, 0)[1]).toBeCloseTo(0.5, 5);
    expect(expectedMeter(steps, { numerator: 10, denominator: 1 }, 2, 5)[1]).toBeCloseTo(0.525, 5);
  });
});

describe('a picture that is late', () => {
  it.each([0, 1])('by %i frames is told by its lag and its delay', (frames) => {
    const late = Float32Array.from(expected, (_, index) => expected[index - frames] ?? expected[0] ?? 0);
    expect(bestLag(expected, late, 5).lag).toBe(frames);
    expect(Math.abs(meterDelayMs(late, levels, { frameRate, windowStartMs: 0 }) - frames * 40)).toBeLessThanOrEqual(2);
  });
});

describe('a picture that becomes late', () => {
  it('is told by its delay at the end', () => {
    const drifting = expected.map((gray, index) => (index < 50 ? gray : (expected[index - 1] ?? 0)));
    expect(
      Math.abs(meterDelayMs(drifting, levels, { frameRate, windowStartMs: 0, firstFrame: 50 }) - 40),
    ).toBeLessThanOrEqual(2);
    expect(
      Math.abs(meterDelayMs(drifting.subarray(0, 50), levels, { frameRate, windowStartMs: 0 })),
    ).toBeLessThanOrEqual(2);
  });
});

describe('the levels of a sound', () => {
  it('are lowest in silence and one every 12.5 ms', () => {
    const silence = melLevels(new Float32Array(16_000));
    expect(silence).toHaveLength(81);
    expect(new Set(silence)).toEqual(new Set([-4]));
  });
});
