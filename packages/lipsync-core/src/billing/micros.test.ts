import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatUsd, localCostMicros, microsToUsd, toMicros, usdToMicros } from './micros.ts';

describe('Micros', () => {
  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('%d is not an amount of money.', (value) => {
    expect(() => toMicros(value)).toThrow(expect.objectContaining({ code: 'internal' }));
  });

  it('A dollar amount with six decimals survives the conversion to millionths and back.', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (micros) => {
        expect(usdToMicros(microsToUsd(micros))).toBe(micros);
      }),
    );
  });

  it('An amount is printed with every digit that counts.', () => {
    expect(formatUsd(12_300)).toBe('$0.012300');
  });

  it('Local work is charged by its duration, rounded to the nearest millionth.', () => {
    expect([localCostMicros(3_600_000, 250_000), localCostMicros(1, 250_000), localCostMicros(0, 250_000)]).toEqual([
      250_000, 0, 0,
    ]);
  });
});
