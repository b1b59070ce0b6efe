import { describe, expect, it } from 'vitest';
import { isFlat, seriesOf } from './memory.ts';

it('Memory of a stage is flat if its last fifth exceeds the second by at most 10 percent plus 50 MiB.', () => {
  expect(isFlat([100, 1000, 1100, 1100, 1150])).toBe(true);
  expect(isFlat([100, 1000, 1000, 1000, 1151])).toBe(false);
});

it('Memory of a stage is flat if it decreases.', () => {
  expect(isFlat([100, 1000, 800, 600, 300])).toBe(true);
});

it('Memory of a stage is not flat if it was not measured.', () => {
  expect(isFlat(Array.from({ length: 5 }, () => Number.NaN))).toBe(false);
  expect(isFlat([])).toBe(false);
  expect(isFlat(Array.from({ length: 5 }, () => Number.NEGATIVE_INFINITY))).toBe(false);
});
describe('samples of a stage', () => {
  const samplesAt = new Map([
    ['listening', 1],
    ['tracking', 1],
    ['rendering', 3],
  ]);

  it('The samples of a stage range from its start to the start of the next stage, even if both started together.', () => {
    expect(['listening', 'tracking', 'rendering'].map((stage) => seriesOf(stage, [1, 2, 3, 4, 5], samplesAt))).toEqual([
      [],
      [2, 3],
      [4, 5],
    ]);
  });

  it('A stage that never started has no samples.', () => {
    expect(seriesOf('publishing', [1, 2, 3, 4, 5], samplesAt)).toEqual([]);
  });
});
