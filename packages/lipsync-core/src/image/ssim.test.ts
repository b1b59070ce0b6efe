import { describe, expect, it } from 'vitest';
import { ssimOutside } from './ssim.ts';

const size = 32;
const noise = Uint8Array.from({ length: size * size }, (_, index) => (index * 7919) % 251);

describe('ssimOutside', () => {
  it('Identical planes have an SSIM of 1.', () => {
    expect(ssimOutside({ a: noise, b: noise, width: size, height: size })).toBeCloseTo(1, 10);
  });

  it('Changes inside the excluded area are ignored, changes outside reduce the SSIM.', () => {
    const changed = noise.slice();
    changed.fill(0, 0, size * 4);
    expect(
      ssimOutside({ a: noise, b: changed, width: size, height: size }, { left: 0, top: 0, right: size, bottom: 5 }),
    ).toBeCloseTo(1, 10);
    expect(
      ssimOutside({ a: noise, b: changed, width: size, height: size }, { left: 0, top: 16, right: size, bottom: 20 }),
    ).toBeLessThan(0.9);
  });

  it('An excluded area that covers the plane yields NaN.', () => {
    expect(
      ssimOutside({ a: noise, b: noise, width: size, height: size }, { left: 0, top: 0, right: size, bottom: size }),
    ).toBeNaN();
  });
});
