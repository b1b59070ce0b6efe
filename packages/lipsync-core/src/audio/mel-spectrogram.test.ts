import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMelFilterbank } from './mel-filterbank.ts';
import { melFilterbank, MelSpectrogram } from './mel-spectrogram.ts';

function columnsOf(...chunks: readonly Float32Array[]): Float32Array[] {
  const columns: Float32Array[] = [];
  const spectrogram = new MelSpectrogram((column) => columns.push(column.slice()));
  chunks.forEach((chunk) => spectrogram.push(chunk));
  spectrogram.finish();
  return columns;
}

function noise(length: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state / 2_147_483_647 - 0.5) * 0.6;
  });
}

function tone(hz: number, length: number, amplitude = 0.5): Float32Array {
  return Float32Array.from({ length }, (_, i) => amplitude * Math.sin((2 * Math.PI * hz * i) / 16_000));
}

/** A column by the definition of the discrete Fourier transform, one sum per bin. */
function definedColumn(samples: Float32Array, column: number): number[] {
  const cosines = Float64Array.from({ length: 800 }, (_, i) => Math.cos((2 * Math.PI * i) / 800));
  const sines = Float64Array.from({ length: 800 }, (_, i) => Math.sin((2 * Math.PI * i) / 800));
  const emphasized = Array.from(samples, (sample, i) => sample - 0.97 * (samples[i - 1] ?? 0));
  const window = cosines.map((cosine, n) => reflected(emphasized, column * 200 - 400 + n) * (0.5 - 0.5 * cosine));
  const magnitudes = Array.from({ length: 401 }, (_, bin) => {
    const part = (wave: Float64Array): number =>
      window.reduce((sum, value, n) => sum + value * (wave[(n * bin) % 800] ?? 0), 0);
    return Math.hypot(part(cosines), part(sines));
  });
  return createMelFilterbank(melFilterbank, 20).map(({ firstBin, weights }) => {
    const magnitude = weights.reduce((total, weight, i) => total + weight * (magnitudes[firstBin + i] ?? 0), 0);
    const levelDb = 20 * Math.log10(Math.max(1e-5, magnitude)) - 20;
    return Math.min(4, Math.max(-4, (8 * (levelDb + 100)) / 100 - 4));
  });
}

/** A value of the sequence reflected at its ends, which are not repeated. */
function reflected(values: readonly number[], index: number): number {
  const last = values.length - 1;
  let position = index;
  while (last > 0 && (position < 0 || position > last)) position = position < 0 ? -position : 2 * last - position;
  return values[last === 0 ? 0 : position] ?? Number.NaN;
}

describe('MelSpectrogram', () => {
  it.each([1, 2, 150, 200, 399, 400, 401, 402, 800, 1234, 1400])(
    'The columns of %i samples agree with the definition, including the reflected ends.',
    (length) => {
      const samples = noise(length);
      const columns = columnsOf(samples);
      expect(columns).toHaveLength(1 + Math.floor(length / 200));
      columns.forEach((column, index) => {
        const expected = definedColumn(samples, index);
        expect(Math.max(...expected.map((value, band) => Math.abs(value - (column[band] ?? Number.NaN))))).toBeLessThan(
          1e-6,
        );
      });
    },
  );

  it('Digital silence is exactly −4 in every band.', () => {
    const columns = columnsOf(new Float32Array(16_000));
    expect(columns).toHaveLength(81);
    expect(columns.every((column) => column.every((value) => value === -4))).toBe(true);
  });

  it('A signal without samples has no columns.', () => {
    expect(columnsOf()).toEqual([]);
  });

  it('Samples that are NaN or infinite count as silence.', () => {
    const broken = noise(3_000);
    const expected = noise(3_000);
    [0, 5, 399, 400, 401, 2_000, 2_999].forEach((index, i) => {
      broken[index] = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][i % 3] ?? 0;
      expected[index] = 0;
    });
    expect(columnsOf(broken)).toEqual(columnsOf(expected));
  });

  it('Values stay between −4 and 4 for signals of any level.', () => {
    const loud = tone(700, 4_000, 3e38);
    expect(
      columnsOf(loud)
        .flatMap((column) => [...column])
        .every((value) => value >= -4 && value <= 4),
    ).toBe(true);
  });

  it('A tone of higher frequency peaks in a higher band.', () => {
    const loudest = [100, 300, 900, 2_000, 4_000, 7_000].map((hz) => {
      const middle = columnsOf(tone(hz, 4_000))[10] ?? new Float32Array();
      return middle.indexOf(Math.max(...middle));
    });
    expect(loudest).toEqual(loudest.toSorted((a, b) => a - b));
    expect(new Set(loudest).size).toBe(loudest.length);
  });

  it('The columns do not depend on how the signal is split into chunks.', () => {
    const samples = noise(5_000);
    const whole = columnsOf(samples);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: samples.length }), { maxLength: 30 }), (cuts) => {
        const ends = [...cuts.toSorted((a, b) => a - b), samples.length];
        expect(columnsOf(...ends.map((end, i) => samples.subarray(ends[i - 1] ?? 0, end)))).toEqual(whole);
      }),
      { numRuns: 25 },
    );
  });
});
