import { describe, expect, it } from 'vitest';
import { isFlat } from './memory.ts';

describe('memory over the tenths of a job', () => {
  it('is flat while the end is at most a tenth and 50 MiB above the third', () => {
    expect(isFlat([100, 900, 1000, 1000, 1000, 1000, 1000, 1150, 1150, 1150])).toBe(true);
    expect(isFlat([100, 900, 1000, 1000, 1000, 1000, 1000, 1000, 1151, 1000])).toBe(false);
  });

  it('may fall', () => {
    expect(isFlat([100, 900, 1000, 900, 800, 700, 600, 500, 400, 300])).toBe(true);
  });

  it('is not flat when it could not be measured', () => {
    expect(isFlat(Array.from({ length: 10 }, () => Number.NaN))).toBe(false);
    expect(isFlat([])).toBe(false);
  });
});
