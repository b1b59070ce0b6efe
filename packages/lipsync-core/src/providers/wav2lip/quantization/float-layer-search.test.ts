import { describe, expect, it } from 'vitest';
import { searchFloatLayers } from './float-layer-search.ts';

/** Squared error of each layer in eight bits; the whole error is the root of their sum. */
const variances: Readonly<Record<string, number>> = { a: 9, b: 0.01, c: 4, d: 0.04, e: 1 };
const layers = Object.keys(variances).map((name) => ({ name, multiplications: name === 'c' ? 200 : 1 }));

async function search(maxError: number) {
  let measured = 0;
  const result = await searchFloatLayers({
    layers,
    maxError,
    async measure(floatLayers) {
      measured += 1;
      const sum = Object.entries(variances).reduce(
        (total, [name, value]) => total + (floatLayers.has(name) ? 0 : value),
        0,
      );
      return { meanLevels: Math.sqrt(sum), worstLevels: 0, ssim: 1 };
    },
    onMeasured: (done, total) => expect(done).toBeLessThanOrEqual(total),
  });
  return { result, measured };
}

describe('Search of float layers', () => {
  it('Without a layer in float32, one measurement is enough when the error is small.', async () => {
    expect(await search(4)).toMatchObject({ measured: 1, result: { floatLayers: [], steps: [{ floatLayers: 0 }] } });
  });

  it('Layers with the largest squared error per multiplication become float32, as few as the limit permits.', async () => {
    expect((await search(2.3)).result?.floatLayers).toEqual(['a']);
    expect((await search(2.1)).result?.floatLayers).toEqual(['a', 'e']);
    expect((await search(0.11)).result?.floatLayers).toEqual(['a', 'e', 'd', 'c']);
  });

  it('The steps have the error of each number of float layers that was tried.', async () => {
    const { result } = await search(0.11);
    const counts = result?.steps.map(({ floatLayers }) => floatLayers);
    expect(counts).toEqual([0, 1, 2, 3, 4]);
    expect(result?.steps.at(-1)?.meanLevels).toBeCloseTo(0.1);
    expect(result?.error.meanLevels).toBeCloseTo(0.1);
  });

  it('Nothing is found when the limit permits no layer in eight bits.', async () => {
    expect((await search(0)).result).toBeNull();
  });
});
