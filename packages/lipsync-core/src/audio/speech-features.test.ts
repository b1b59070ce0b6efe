import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bandCount, FeatureExtractor, quietestDb, type SpeechFeatures } from './speech-features.ts';

function featuresOf(samples: Float32Array, chunkLength = samples.length): SpeechFeatures {
  const extractor = new FeatureExtractor();
  for (let start = 0; start < samples.length; start += chunkLength)
    extractor.push(samples.subarray(start, start + chunkLength));
  return extractor.finish();
}

function tone(frequencyHz: number, seconds: number, amplitude = 1): Float32Array {
  return Float32Array.from(
    { length: seconds * 16_000 },
    (_, i) => amplitude * Math.sin((2 * Math.PI * frequencyHz * i) / 16_000),
  );
}

function loudestBand({ bandsDb }: SpeechFeatures, step: number): number {
  const bands = bandsDb.subarray(step * bandCount, (step + 1) * bandCount);
  return bands.indexOf(Math.max(...bands));
}

describe('FeatureExtractor', () => {
  it('Every 10 ms begun give one step.', () => {
    expect(featuresOf(new Float32Array(0)).stepCount).toBe(0);
    expect(featuresOf(new Float32Array(160)).stepCount).toBe(1);
    expect(featuresOf(new Float32Array(161)).stepCount).toBe(2);
    expect(featuresOf(tone(200, 1)).stepCount).toBe(100);
  });

  it('A full-scale sine has a level of −3 dBFS.', () => {
    expect(featuresOf(tone(1000, 1)).levelDb[50]).toBeCloseTo(-3.01, 1);
  });

  it('Digital silence, NaN and infinity have the lowest level.', () => {
    for (const value of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      const { levelDb, bandsDb } = featuresOf(new Float32Array(1600).fill(value));
      expect([...levelDb, ...bandsDb].every((level) => level === quietestDb)).toBe(true);
    }
  });

  it('A DC offset does not count as level.', () => {
    expect(featuresOf(new Float32Array(32_000).fill(0.5)).levelDb[150]).toBeLessThan(-80);
  });

  it('A step is centered on its time.', () => {
    const click = new Float32Array(16_000);
    click[8000] = 1;
    const { levelDb } = featuresOf(click);
    expect(levelDb.indexOf(Math.max(...levelDb))).toBe(50);
  });

  it('A tone of higher frequency peaks in a higher band.', () => {
    const bands = [200, 500, 1000, 2000, 4000, 7000].map((frequencyHz) =>
      loudestBand(featuresOf(tone(frequencyHz, 0.5)), 25),
    );
    expect(bands).toEqual([...new Set(bands)].toSorted((a, b) => a - b));
  });

  it('The features do not depend on how the stream is split into chunks.', () => {
    const samples = tone(300, 0.4);
    const whole = featuresOf(samples);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: samples.length }), (chunkLength) => {
        expect(featuresOf(samples, chunkLength)).toEqual(whole);
      }),
      { numRuns: 20 },
    );
  });
});
