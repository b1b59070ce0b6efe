import { describe, expect, it } from 'vitest';
import { bestLag, correlation, energyPerFrame } from './lip-judge.ts';

describe('energyPerFrame', () => {
  it('is the root mean square of what is heard while the frame is shown', () => {
    const samples = new Float32Array(1600).fill(0.5, 0, 640).fill(-0.25, 640, 1280);
    const [first, second, third, beyond] = energyPerFrame(samples, 16_000, 25, 4);
    expect([first, second, third, beyond]).toEqual([0.5, 0.25, 0, 0]);
  });
});

describe('correlation', () => {
  it('is 1 for the same up to gain and offset, −1 for the opposite, 0 for what does not vary', () => {
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

  it('refuses series of different lengths', () => {
    expect(() => correlation(new Float32Array(2), new Float32Array(3))).toThrow(RangeError);
  });
});

describe('bestLag', () => {
  it('finds how much later the second series comes', () => {
    const a = Float32Array.from({ length: 60 }, (_, i) => Math.sin(i * i * 0.05));
    const later = Float32Array.from({ length: 60 }, (_, i) => a[i - 2] ?? 0);
    const best = bestLag(a, later, 4);
    expect(best.lag).toBe(2);
    expect(best.r).toBeCloseTo(1, 6);
    expect(bestLag(later, a, 4).lag).toBe(-2);
  });
});
