import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunkStartColumn, melChunkLength, openMelChunks, type MelChunksOptions } from './mel-chunks.ts';
import { MelSpectrogram } from '../../audio/mel-spectrogram.ts';

const rate25 = { numerator: 25, denominator: 1 } as const;
const silence = new Float32Array(melChunkLength).fill(-4);

/** A chirp with noise, in which no two columns are equal. */
function chirp(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => 0.3 * Math.sin(i * i * 1e-5) + 0.05 * Math.sin(i * i));
}

async function* inBlocks(samples: Float32Array, blockLength = 1_000): AsyncGenerator<Float32Array> {
  for (let from = 0; from < samples.length; from += blockLength) yield samples.subarray(from, from + blockLength);
}

async function chunksOf(
  options: Partial<MelChunksOptions> & Pick<MelChunksOptions, 'samples' | 'frameCount'>,
): Promise<Float32Array[]> {
  const chunks: Float32Array[] = [];
  for await (const chunk of openMelChunks({ frameRate: rate25, windowStartMs: 0, ...options })) chunks.push(chunk);
  return chunks;
}

/** Reference: a chunk sliced from the complete spectrogram. */
function chunkAt(samples: Float32Array, start: number): Float32Array {
  const columns: Float32Array[] = [];
  const spectrogram = new MelSpectrogram((column) => columns.push(column.slice()));
  spectrogram.push(samples);
  spectrogram.finish();
  return Float32Array.from({ length: melChunkLength }, (_, i) => columns[start + (i % 16)]?.[Math.floor(i / 16)] ?? -4);
}

describe('openMelChunks', () => {
  it('Each chunk has the 16 columns from the start column of its frame, band-major.', async () => {
    const samples = chirp(16_000);
    const chunks = await chunksOf({ samples: inBlocks(samples), frameCount: 25 });
    expect(chunks).toHaveLength(25);
    for (const frame of [0, 1, 7, 19])
      expect(chunks[frame]).toEqual(chunkAt(samples, chunkStartColumn(frame, rate25, 0)));
  });

  it('Columns before and after the speech are silent.', async () => {
    const samples = chirp(8_000);
    const chunks = await chunksOf({ samples: inBlocks(samples), frameCount: 30, windowStartMs: -40 });
    expect(chunks[0]).toEqual(chunkAt(samples, -4));
    expect([...(chunks[0] ?? silence).subarray(0, 4)]).toEqual([-4, -4, -4, -4]);
    expect(chunks[12]).toEqual(chunkAt(samples, 35));
    expect(chunks[13]?.[2]).toBeGreaterThan(-4);
    expect(chunks.slice(14).every((chunk) => chunk.every((value) => value === -4))).toBe(true);
  });

  it('All chunks of an empty speech are silent.', async () => {
    expect(await chunksOf({ samples: inBlocks(new Float32Array()), frameCount: 3 })).toEqual([
      silence,
      silence,
      silence,
    ]);
  });

  it('Speech audio of fewer than 16 columns or less than half a window is padded with silence.', async () => {
    for (const length of [100, 399, 400, 2_900]) {
      const samples = chirp(length);
      const [chunk] = await chunksOf({ samples: inBlocks(samples), frameCount: 1 });
      expect(chunk).toEqual(chunkAt(samples, 0));
      expect(Math.max(...(chunk ?? silence))).toBeGreaterThan(-4);
    }
  });

  it('There is exactly one finite chunk per frame at any frame rate, window start and length.', async () => {
    const frameRate = fc.record({
      numerator: fc.integer({ min: 1, max: 240_000 }),
      denominator: fc.constantFrom(1, 1000, 1001),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(6_000),
        fc.nat(120),
        frameRate,
        fc.integer({ min: -500, max: 500 }),
        async (length, frameCount, rate, windowStartMs) => {
          const chunks = await chunksOf({
            samples: inBlocks(chirp(length)),
            frameCount,
            frameRate: rate,
            windowStartMs,
          });
          expect(chunks).toHaveLength(frameCount);
          expect(
            chunks.every((chunk) => chunk.length === 1280 && chunk.every((value) => value >= -4 && value <= 4)),
          ).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('The block lengths of the speech do not affect the chunks.', async () => {
    const samples = chirp(12_000);
    const whole = await chunksOf({ samples: inBlocks(samples, samples.length), frameCount: 22 });
    for (const blockLength of [1, 37, 200, 201, 4_096]) {
      expect(await chunksOf({ samples: inBlocks(samples, blockLength), frameCount: 22 })).toEqual(whole);
    }
  });

  it('A click late in a long speech appears exactly in the chunks whose window contains it.', async () => {
    const frameRate = { numerator: 30_000, denominator: 1_001 };
    const samples = new Float32Array(60 * 16_000);
    samples[58 * 16_000] = 1;
    const loudFrames = (await chunksOf({ samples: inBlocks(samples, 4_000), frameCount: 1_798, frameRate }))
      .map((chunk, frame) => ({ frame, loud: chunk.some((value) => value > -4) }))
      .filter(({ loud }) => loud);
    // The click at column 4640 affects columns 4639 to 4641; windows have 16 columns.
    const expected = Array.from({ length: 1_798 }, (_, frame) => frame).filter((frame) => {
      const start = Math.floor((frame * 80 * 1_001) / 30_000);
      return start <= 4_641 && start + 15 >= 4_639;
    });
    expect(loudFrames.map(({ frame }) => frame)).toEqual(expected);
  });

  it('Only the required samples are read, and the source is closed afterwards.', async () => {
    let read = 0;
    let closed = false;
    async function* endless(): AsyncGenerator<Float32Array> {
      try {
        for (;;) {
          read += 1;
          yield chirp(1_600);
        }
      } finally {
        closed = true;
      }
    }
    expect(await chunksOf({ samples: endless(), frameCount: 10 })).toHaveLength(10);
    expect(closed).toBe(true);
    expect(read).toBeLessThanOrEqual(7);
  });

  it('An error of the source is passed on.', async () => {
    async function* broken(): AsyncGenerator<Float32Array> {
      yield chirp(1_600);
      throw new Error('the decoder ended');
    }
    await expect(chunksOf({ samples: broken(), frameCount: 10 })).rejects.toThrow('the decoder ended');
  });
});

const rates = [
  { numerator: 24_000, denominator: 1_001 },
  { numerator: 25, denominator: 1 },
  { numerator: 30_000, denominator: 1_001 },
  { numerator: 30, denominator: 1 },
  { numerator: 50, denominator: 1 },
  { numerator: 60, denominator: 1 },
] as const;
const columnMs = 12.5;

describe('chunkStartColumn', () => {
  it('Chunk starts at 25 frames per second equal those of the reference implementation.', () => {
    expect(Array.from({ length: 8 }, (_, frame) => chunkStartColumn(frame, rates[1], 0))).toEqual([
      0, 3, 6, 9, 12, 16, 19, 22,
    ]);
  });

  it.each(rates)(
    'Chunk starts stay within half a column of the speech for 600 s at $numerator/$denominator frames per second.',
    (rate) => {
      const frameCount = Math.round((600 * rate.numerator) / rate.denominator);
      for (const windowStartMs of [-40, 0, 125]) {
        const distancesMs = Float64Array.from({ length: frameCount }, (_, frame) => {
          const frameMs = (frame * 1000 * rate.denominator) / rate.numerator;
          // A column covers the 12.5 ms from its start; the frame time lies anywhere in it.
          const middleMs = (chunkStartColumn(frame, rate, windowStartMs) + 0.5) * columnMs;
          return Math.abs(middleMs - (frameMs + windowStartMs));
        });
        expect(distancesMs.reduce((most, distance) => Math.max(most, distance))).toBeLessThanOrEqual(
          columnMs / 2 + 1e-6,
        );
      }
    },
  );

  it('A negative window start shifts the first columns to negative indexes.', () => {
    expect([0, 1, 2].map((frame) => chunkStartColumn(frame, rates[1], -40))).toEqual([-4, 0, 3]);
    expect(chunkStartColumn(0, rates[1], -25)).toBe(-2);
  });

  it('Whole seconds shift the start column without rounding at any frame rate.', () => {
    const rate = fc.record({
      numerator: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      denominator: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        rate,
        fc.integer({ min: -1000, max: 1000 }),
        (frame, frameRate, windowStartMs) => {
          const start = chunkStartColumn(frame, frameRate, windowStartMs);
          expect(chunkStartColumn(frame, frameRate, windowStartMs + 1000)).toBe(start + 80);
          expect(chunkStartColumn(frame + 1, frameRate, windowStartMs)).toBeGreaterThanOrEqual(start);
        },
      ),
    );
  });
});
