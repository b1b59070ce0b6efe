import { describe, expect, it } from 'vitest';
import { createMelBank } from './mel-bank.ts';

const binHz = 20;
const bank = createMelBank(binHz);
const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);

describe('createMelBank', () => {
  it('has 80 bands from 55 to 7600 Hz, none of them empty', () => {
    expect(bank).toHaveLength(80);
    expect(bank.every(({ weights }) => Math.max(...weights) > 0 && Math.min(...weights) >= 0)).toBe(true);
    expect(bank[0]?.firstBin).toBe(Math.ceil(55 / binHz));
    const last = bank[79];
    const lastBin = (last?.firstBin ?? 0) + (last?.weights.length ?? 0) - 1;
    // At 7600 Hz itself the weight is zero, give or take a rounding.
    expect([379, 380]).toContain(lastBin);
  });

  it('weighs every band of many bins alike', () => {
    const wide = bank.filter(({ weights }) => weights.length > 8);
    expect(wide.length).toBeGreaterThan(20);
    wide.forEach(({ weights }) => expect(sum(weights) * binHz).toBeCloseTo(1, 1));
  });
});
