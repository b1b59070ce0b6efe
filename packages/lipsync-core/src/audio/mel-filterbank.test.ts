import { describe, expect, it } from 'vitest';
import { createMelFilterbank } from './mel-filterbank.ts';
import { melFilterbank } from './mel-spectrogram.ts';

const binHz = 20;
const filters = createMelFilterbank(melFilterbank, binHz);
const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);

describe('createMelFilterbank', () => {
  it('The filterbank of the mel spectrogram has 80 nonempty bands from 55 to 7600 Hz.', () => {
    expect(filters).toHaveLength(80);
    expect(filters.every(({ weights }) => Math.max(...weights) > 0 && Math.min(...weights) >= 0)).toBe(true);
    expect(filters[0]?.firstBin).toBe(Math.ceil(55 / binHz));
    const last = filters[79];
    const lastBin = (last?.firstBin ?? 0) + (last?.weights.length ?? 0) - 1;
    // The weight at 7600 Hz is zero up to rounding, so its bin may or may not be included.
    expect([379, 380]).toContain(lastBin);
  });

  it('Area normalization gives all wide bands the same sum of weights.', () => {
    const wide = filters.filter(({ weights }) => weights.length > 8);
    expect(wide.length).toBeGreaterThan(20);
    wide.forEach(({ weights }) => expect(sum(weights) * binHz).toBeCloseTo(1, 1));
  });

  it('Peak normalization gives triangles of height 1 that add up to 1 between the band centers.', () => {
    const options = { scale: 'htk', bandCount: 20, lowestHz: 80, highestHz: 7600, normalization: 'peak' } as const;
    const total = new Float64Array(8000);
    for (const { firstBin, weights } of createMelFilterbank(options, 1)) {
      expect(Math.max(...weights)).toBeCloseTo(1, 1);
      weights.forEach((weight, index) => (total[firstBin + index] = (total[firstBin + index] ?? 0) + weight));
    }
    expect(Math.min(...total.subarray(200, 6500))).toBeCloseTo(1, 5);
    expect(Math.max(...total)).toBeCloseTo(1, 5);
  });
});
