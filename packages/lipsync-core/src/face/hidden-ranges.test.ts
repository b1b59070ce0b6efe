import { describe, expect, it } from 'vitest';
import { findRanges } from './hidden-ranges.ts';

const limits = { shortest: 4, longestBreak: 10 };

/** A series that is 0 except in the given frames. */
function seriesOf(frameCount: number, values: Readonly<Record<number, number>>): Float32Array {
  return Float32Array.from({ length: frameCount }, (_, frame) => values[frame] ?? 0);
}

function steady(start: number, end: number, value: number): Record<number, number> {
  return Object.fromEntries(Array.from({ length: end - start }, (_, index) => [start + index, value]));
}

describe('findRanges', () => {
  it('A range begins and ends where the value is near the limit, so that values around it do not flicker.', () => {
    const series = seriesOf(60, { ...steady(20, 24, 0.9), ...steady(24, 30, 1.2), ...steady(30, 33, 0.85) });
    expect(findRanges(series, limits)).toEqual([{ start: 20, end: 33 }]);
    expect(findRanges(seriesOf(60, steady(20, 40, 0.95)), limits)).toEqual([]);
  });

  it('A moment and single outliers are ignored.', () => {
    expect(findRanges(seriesOf(60, { ...steady(20, 23, 2), 40: 5, 44: 5 }), limits)).toEqual([]);
  });

  it('With a limit for edges, a slow change is no range, and a quick one on either side is.', () => {
    const slow = Float32Array.from({ length: 100 }, (_, frame) => Math.min(1.3, frame / 40));
    expect(findRanges(slow, { ...limits, edgeFrames: 10 })).toEqual([]);
    expect(findRanges(slow, limits)).toEqual([{ start: 32, end: 100 }]);
    slow.fill(0.2, 70);
    expect(findRanges(slow.subarray(32), { ...limits, edgeFrames: 10 })).toEqual([]);
    expect(findRanges(slow, { ...limits, edgeFrames: 10 })).toEqual([{ start: 32, end: 70 }]);
  });

  it('Ranges with a short break are joined, and frames without a value take the one before.', () => {
    const joined = seriesOf(80, { ...steady(10, 20, 2), ...steady(28, 40, 2), ...steady(60, 70, 2) });
    expect(findRanges(joined, limits)).toEqual([
      { start: 10, end: 40 },
      { start: 60, end: 70 },
    ]);
    expect(findRanges(seriesOf(40, { ...steady(10, 15, 2), ...steady(15, 25, NaN) }), limits)).toEqual([
      { start: 10, end: 25 },
    ]);
  });
});
