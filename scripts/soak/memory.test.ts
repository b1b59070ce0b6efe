import { describe, expect, it } from 'vitest';
import { isFlat, seriesOf } from './memory.ts';

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
    expect(isFlat(Array.from({ length: 5 }, () => Number.NEGATIVE_INFINITY))).toBe(false);
  });
});

describe('the samples of a stage', () => {
  const samplesAt = new Map([
    ['listening', 1],
    ['tracking', 1],
    ['rendering', 3],
  ]);

  it('are those from its beginning to that of the next, also where it began with the one before', () => {
    expect(['listening', 'tracking', 'rendering'].map((stage) => seriesOf(stage, [1, 2, 3, 4, 5], samplesAt))).toEqual([
      [],
      [2, 3],
      [4, 5],
    ]);
  });

  it('A stage without samples has no memory figures.', () => {
    expect(seriesOf('publishing', [1, 2, 3, 4, 5], samplesAt)).toEqual([]);
  });
});
