import { expect, it } from 'vitest';
import { CrossCorrelator } from './cross-correlation.ts';

it('A window is located to the sample in a louder copy with noise.', () => {
  let seed = 1;
  const random = (): number => ((seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647) * 2 - 1;
  const searched = Float32Array.from({ length: 700 }, random);
  const window = searched.slice(123, 423).map((sample) => 3 * sample + 0.3 * random());
  const { position, correlation } = new CrossCorrelator(800).locate(window, searched);
  expect(position).toBe(123);
  expect(correlation).toBeCloseTo(1 / Math.sqrt(1.01), 2);
});

it('Correlations of all positions equal those that are computed directly.', () => {
  const searched = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i * i));
  const correlator = new CrossCorrelator(50);
  for (let position = 0; position <= 30; position += 1) {
    const window = searched.slice(position, position + 20);
    expect(correlator.locate(window, searched)).toEqual({ position, correlation: expect.closeTo(1, 5) });
  }
});

it('Silence correlates with nothing.', () => {
  const { correlation } = new CrossCorrelator(50).locate(new Float32Array(20), new Float32Array(50).fill(0.1));
  expect(correlation).toBe(0);
});
