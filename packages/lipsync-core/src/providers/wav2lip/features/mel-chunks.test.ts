import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunkStartColumn } from './chunk-start.ts';
import { melChunkLength, openMelChunks, type MelChunksOptions } from './mel-chunks.ts';
import { MelSpectrogram } from '../../../audio/mel-spectrogram.ts';

const rate25 = { numerator: 25, denominator: 1 } as const;
const silence = new Float32Array(melChunkLength).fill(-4);

/** A wandering tone in noise, so that no two columns are alike. */
function sound(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => 0.3 * Math.sin(i * i * 1e-5) + 0.05 * Math.sin(i * i));
}

async function* inPieces(samples: Float32Array, pieceLength = 1_000): AsyncGenerator<Float32Array> {
  for (let from = 0; from < samples.length; from += pieceLength) yield samples.subarray(from, from + pieceLength);
}

async function chunksOf(
  options: Partial<MelChunksOptions> & Pick<MelChunksOptions, 'samples' | 'frameCount'>,
): Promise<Float32Array[]> {
  const chunks: Float32Array[] = [];
  for await (const chunk of openMelChunks({ frameRate: rate25, windowStartMs: 0, ...options })) chunks.push(chunk);
  return chunks;
}

/** All the columns kept, and a chunk cut out of them: what the stream has to agree with. */
function chunkAt(samples: Float32Array, start: number): Float32Array {
  const columns: Float32Array[] = [];
  const spectrogram = new MelSpectrogram((column) => columns.push(column.slice()));
  spectrogram.push(samples);
  spectrogram.finish();
  return Float32Array.from({ length: melChunkLength }, (_, i) => columns[start + (i % 16)]?.[Math.floor(i / 16)] ?? -4);
}

describe('openMelChunks', () => {
  it('gives every frame the 16 columns from its time on, band by band', async () => {
    const samples = sound(16_000);
    const chunks = await chunksOf({ samples: inPieces(samples), frameCount: 25 });
    expect(chunks).toHaveLength(25);
    for (const frame of [0, 1, 7, 19])
      expect(chunks[frame]).toEqual(chunkAt(samples, chunkStartColumn(frame, rate25, 0)));
  });

  it('goes on into silence behind the speech, and begins in it where the window starts before the speech', async () => {
    const samples = sound(8_000);
    const chunks = await chunksOf({ samples: inPieces(samples), frameCount: 30, windowStartMs: -40 });
    expect(chunks[0]).toEqual(chunkAt(samples, -4));
    expect([...(chunks[0] ?? silence).subarray(0, 4)]).toEqual([-4, -4, -4, -4]);
    expect(chunks[12]).toEqual(chunkAt(samples, 35));
    expect(chunks[13]?.[2]).toBeGreaterThan(-4);
    expect(chunks.slice(14).every((chunk) => chunk.every((value) => value === -4))).toBe(true);
  });

  it('is silent throughout for a speech without a sample', async () => {
    expect(await chunksOf({ samples: inPieces(new Float32Array()), frameCount: 3 })).toEqual([
      silence,
      silence,
      silence,
    ]);
  });

  it('pads a speech of fewer than 16 columns, and one shorter than half a window', async () => {
    for (const length of [100, 399, 400, 2_900]) {
      const samples = sound(length);
      const [chunk] = await chunksOf({ samples: inPieces(samples), frameCount: 1 });
      expect(chunk).toEqual(chunkAt(samples, 0));
      expect(Math.max(...(chunk ?? silence))).toBeGreaterThan(-4);
    }
  });

  it('has exactly one finite chunk per frame, at any rate, window and length', async () => {
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
            samples: inPieces(sound(length)),
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

  it('does not depend on the pieces in which the speech arrives', async () => {
    const samples = sound(12_000);
    const whole = await chunksOf({ samples: inPieces(samples, samples.length), frameCount: 22 });
    for (const pieceLength of [1, 37, 200, 201, 4_096]) {
      expect(await chunksOf({ samples: inPieces(samples, pieceLength), frameCount: 22 })).toEqual(whole);
    }
  });

  it('hears a click in the frames whose window holds it, and only there, late in a long speech', async () => {
    const frameRate = { numerator: 30_000, denominator: 1_001 };
    const samples = new Float32Array(60 * 16_000);
    samples[58 * 16_000] = 1;
    const heard = (await chunksOf({ samples: inPieces(samples, 4_000), frameCount: 1_798, frameRate }))
      .map((chunk, frame) => ({ frame, loud: chunk.some((value) => value > -4) }))
      .filter(({ loud }) => loud);
    // Columns 4639 to 4641 see the click at column 4640; windows hold 16 columns.
    const expected = Array.from({ length: 1_798 }, (_, frame) => frame).filter((frame) => {
      const start = Math.floor((frame * 80 * 1_001) / 30_000);
      return start <= 4_641 && start + 15 >= 4_639;
    });
    expect(heard.map(({ frame }) => frame)).toEqual(expected);
  });

  it('reads no more than the frames need and lets go of the speech then', async () => {
    let read = 0;
    let closed = false;
    async function* endless(): AsyncGenerator<Float32Array> {
      try {
        for (;;) {
          read += 1;
          yield sound(1_600);
        }
      } finally {
        closed = true;
      }
    }
    expect(await chunksOf({ samples: endless(), frameCount: 10 })).toHaveLength(10);
    expect(closed).toBe(true);
    expect(read).toBeLessThanOrEqual(7);
  });

  it('passes on what goes wrong in reading the speech', async () => {
    async function* broken(): AsyncGenerator<Float32Array> {
      yield sound(1_600);
      throw new Error('the decoder ended');
    }
    await expect(chunksOf({ samples: broken(), frameCount: 10 })).rejects.toThrow('the decoder ended');
  });
});
