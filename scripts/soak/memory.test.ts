import { describe, expect, it } from 'vitest';
import { isFlat } from './memory.ts';

describe('memory over the fifths of a stage', () => {
  it('is flat while the end is at most a tenth and 50 MiB above the second', () => {
    expect(isFlat([100, 1000, 1100, 1100, 1150])).toBe(true);
    expect(isFlat([100, 1000, 1000, 1000, 1151])).toBe(false);
  });

  it('may fall', () => {
    expect(isFlat([100, 1000, 800, 600, 300])).toBe(true);
  });

  it('is not flat when it could not be measured', () => {
    expect(isFlat(Array.from({ length: 5 }, () => Number.NaN))).toBe(false);
    expect(isFlat([])).toBe(false);
  });
});
