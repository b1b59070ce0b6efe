import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { measureMfcc, mfccCount, MfccStream } from './mfcc.ts';

const vectors = process.env['LIPSYNC_TEST_VECTORS_DIR'];

const noise = (length: number): Float32Array =>
  Float32Array.from({ length }, (_, index) => 0.3 * Math.sin(index * index * 0.37));

describe('MFCC', () => {
  it.each([
    [0, 0],
    [1, 1],
    [400, 1],
    [401, 2],
    [560, 2],
    [561, 3],
    [16_000, 99],
  ])('%i samples give %i rows.', (samples, rows) => {
    expect(measureMfcc(noise(samples)).length).toBe(rows * mfccCount);
  });

  it('Samples in blocks of any size give the same rows.', () => {
    const samples = noise(5_000);
    const rows: number[] = [];
    const stream = new MfccStream((row) => rows.push(...row));
    for (let start = 0; start < samples.length; start += 77) stream.push(samples.subarray(start, start + 77));
    stream.finish();
    expect(Float32Array.from(rows)).toEqual(measureMfcc(samples));
  });

  it('Twice the amplitude adds ln 4 to the energy and leaves the shape of the spectrum.', () => {
    const quiet = measureMfcc(noise(400));
    const loud = measureMfcc(noise(400).map((value) => 2 * value));
    expect((loud[0] ?? 0) - (quiet[0] ?? 0)).toBeCloseTo(Math.log(4), 5);
    for (let index = 1; index < mfccCount; index += 1) expect(loud[index]).toBeCloseTo(quiet[index] ?? 0, 3);
  });

  it('Digital silence gives finite values.', () => {
    expect(measureMfcc(new Float32Array(1_000)).every(Number.isFinite)).toBe(true);
  });
});

describe.skipIf(vectors === undefined)('MFCC against the reference (needs LIPSYNC_TEST_VECTORS_DIR)', () => {
  const read = async (...path: string[]): Promise<Buffer> => readFile(join(vectors ?? '', ...path));
  const samplesOf = (bytes: Buffer): Float32Array =>
    Float32Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readInt16LE(2 * index) / 32_768);
  const floatsOf = (bytes: Buffer): Float32Array =>
    Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));

  it.each(['demo1', 'original_audio'])('The coefficients of %s are within 1e-3 of the reference.', async (name) => {
    const expected = floatsOf(await read('audio', `${name}_mfcc.f32`));
    const found = measureMfcc(samplesOf(await read('audio', `${name}_6s.s16`)));
    expect(found.length).toBe(expected.length);
    const errors = Array.from(found, (value, index) => Math.abs(value - (expected[index] ?? Number.NaN)));
    expect(Math.max(...errors)).toBeLessThan(1e-3);
  });

  it('The coefficients of the LR-ASD second are within 1e-4 of the reference, but for the first sample.', async () => {
    const expected = floatsOf(await read('lr-asd', 'mfcc.f32'));
    const found = measureMfcc(samplesOf(await read('lr-asd', 'sound.s16')));
    expect(found.length).toBe(expected.length);
    for (let index = mfccCount; index < expected.length; index += 1)
      expect(Math.abs((found[index] ?? Number.NaN) - (expected[index] ?? 0))).toBeLessThan(1e-4);
  });
});
