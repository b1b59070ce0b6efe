import { describe, expect, it } from 'vitest';
import { codeScaleOf, quantizeWeights } from './eight-bit-values.ts';
import { ValueHistogram } from './value-histogram.ts';

describe('Eight-bit values', () => {
  it('A scale stores 0 exactly and reaches both ends of the range.', () => {
    expect(codeScaleOf({ low: 0, high: 5.1 })).toEqual({ step: 5.1 / 255, zeroPoint: 0 });
    const { step, zeroPoint } = codeScaleOf({ low: -1, high: 3 });
    expect(Number.isInteger(zeroPoint)).toBe(true);
    expect((255 - zeroPoint) * step).toBeCloseTo(3, 1);
    expect(-zeroPoint * step).toBeCloseTo(-1, 1);
    expect(codeScaleOf({ low: 0, high: 0 }).step).toBeGreaterThan(0);
  });

  it('Integer weights are within half a step of the weights, with the step of each input channel.', () => {
    const weight = Float32Array.from({ length: 3 * 2 * 4 }, (_, index) => Math.sin(index * index) / (1 + index));
    const bias = Float32Array.of(0.3, -2, 100);
    const inputSteps = Float32Array.of(0.5, 0.01);
    const quantized = quantizeWeights({ weight, bias }, inputSteps, 127);
    for (const [index, code] of quantized.codes.entries()) {
      const [output, input] = [Math.floor(index / 8), Math.floor(index / 4) % 2];
      const step = quantized.steps[output] ?? 0;
      const exact = (weight[index] ?? 0) * (inputSteps[input] ?? 0);
      expect(Math.abs(code * step - exact)).toBeLessThanOrEqual(step * 0.5001);
    }
    for (const [output, code] of quantized.bias.entries())
      expect(Math.abs(code * (quantized.steps[output] ?? 0) - (bias[output] ?? 0))).toBeLessThan(1e-3);
  });

  it('The bias of a channel without weights stays in 32 bits.', () => {
    const { bias, steps } = quantizeWeights(
      { weight: new Float32Array(4), bias: Float32Array.of(7) },
      Float32Array.of(1),
      63,
    );
    expect((bias[0] ?? 0) * (steps[0] ?? 0)).toBeCloseTo(7, 5);
  });

  it('The best range cuts off a few far values, but not the tail of even ones.', () => {
    const values = Float32Array.from({ length: 100_000 }, (_, index) => index / 100_000);
    const even = new ValueHistogram();
    even.add(values);
    expect(even.bestRange().high).toBeGreaterThan(0.95);
    const far = new ValueHistogram();
    for (let times = 0; times < 10; times += 1) far.add(values);
    far.add(Float32Array.of(4));
    expect(far.bestRange().high).toBeLessThan(3);
    expect(() => far.add(Float32Array.of(Number.NaN))).toThrow(RangeError);
  });
});
