import { describe, expect, it } from 'vitest';
import { complexArray, createComplexTransform } from './complex-transform.ts';

function noise(size: number) {
  const values = complexArray(size);
  for (let i = 0; i < size; i++) {
    values.real[i] = Math.sin(i * i + 1);
    values.imaginary[i] = Math.cos(3 * i * i + 2);
  }
  return values;
}

/** One bin of the transform, straight from its definition. */
function binOf({ real, imaginary }: ReturnType<typeof noise>, bin: number): { real: number; imaginary: number } {
  let sumReal = 0;
  let sumImaginary = 0;
  real.forEach((value, n) => {
    const angle = (-2 * Math.PI * ((n * bin) % real.length)) / real.length;
    sumReal += value * Math.cos(angle) - (imaginary[n] ?? 0) * Math.sin(angle);
    sumImaginary += value * Math.sin(angle) + (imaginary[n] ?? 0) * Math.cos(angle);
  });
  return { real: sumReal, imaginary: sumImaginary };
}

describe('createComplexTransform', () => {
  it.each([1, 4, 5, 16, 20, 25, 100, 400])('agrees with the definition at size %i', (size) => {
    const expected = Array.from({ length: size }, (_, bin) => binOf(noise(size), bin));
    const { real, imaginary } = createComplexTransform(size)(noise(size));
    expected.forEach((value, bin) => {
      expect(real[bin]).toBeCloseTo(value.real, 10);
      expect(imaginary[bin]).toBeCloseTo(value.imaginary, 10);
    });
  });

  it('gives the same result at every call', () => {
    const transform = createComplexTransform(100);
    const first = transform(noise(100)).real.slice();
    expect(transform(noise(100)).real).toEqual(first);
  });

  it.each([2, 7, 15, 32, 401])('refuses size %i, which is no product of fours and fives', (size) => {
    expect(() => createComplexTransform(size)).toThrow(RangeError);
  });
});
