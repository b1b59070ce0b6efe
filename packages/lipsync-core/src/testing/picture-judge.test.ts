import { describe, expect, it } from 'vitest';
import { ssimOutside } from './picture-judge.ts';

const size = 32;
const noise = Uint8Array.from({ length: size * size }, (_, index) => (index * 7919) % 251);

describe('structural similarity outside an area', () => {
  it('is one for the same picture', () => {
    expect(ssimOutside(noise, noise, size, size, undefined)).toBeCloseTo(1, 10);
  });

  it('does not see a change inside the area, and sees one outside', () => {
    const changed = noise.slice();
    changed.fill(0, 0, size * 4);
    expect(ssimOutside(noise, changed, size, size, { left: 0, top: 0, right: size, bottom: 5 })).toBeCloseTo(1, 10);
    expect(ssimOutside(noise, changed, size, size, { left: 0, top: 16, right: size, bottom: 20 })).toBeLessThan(0.9);
  });

  it('is not a number when the area covers everything', () => {
    expect(ssimOutside(noise, noise, size, size, { left: 0, top: 0, right: size, bottom: size })).toBeNaN();
  });
});
