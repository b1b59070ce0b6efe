import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { chunkStartColumn } from '../../src/providers/wav2lip/mel-chunks.ts';
import { openMelChunks } from '../../src/providers/wav2lip/mel-chunks.ts';
import { createMelFilterbank } from '../../src/audio/mel-filterbank.ts';
import { melFilterbank, MelSpectrogram } from '../../src/audio/mel-spectrogram.ts';

const vectors = process.env['LIPSYNC_TEST_VECTORS_DIR'];
const speeches = ['demo1', 'original_audio'] as const;

const tableSchema = z.object({
  chunk_table: z.record(
    z.string(),
    z.object({ mel_frames: z.int(), chunks: z.int(), first: z.array(z.int()), last: z.array(z.int()) }),
  ),
});

async function bytesOf(name: string): Promise<ArrayBuffer> {
  const bytes = await readFile(join(vectors ?? '', 'audio', name));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
}

async function speechOf(name: string): Promise<Float32Array> {
  return Float32Array.from(new Int16Array(await bytesOf(`${name}_6s.s16`)), (sample) => sample / 32_768);
}

function columnsOf(samples: Float32Array): Float32Array[] {
  const columns: Float32Array[] = [];
  const spectrogram = new MelSpectrogram((column) => columns.push(column.slice()));
  spectrogram.push(samples);
  spectrogram.finish();
  return columns;
}

function largestDifference(columns: readonly Float32Array[], expected: Float32Array): number {
  return columns.reduce(
    (largest, column, time) =>
      column.reduce(
        (most, value, band) => Math.max(most, Math.abs(value - (expected[band * columns.length + time] ?? Number.NaN))),
        largest,
      ),
    0,
  );
}

/** The table uses 23.976 as a decimal, not 24000/1001. */
function rateOf(decimal: string): { numerator: number; denominator: number } {
  return { numerator: Math.round(Number(decimal) * 1000), denominator: 1000 };
}

describe.skipIf(vectors === undefined)('Mel features against the reference (needs LIPSYNC_TEST_VECTORS_DIR)', () => {
  it.each(speeches)('The mel spectrogram of %s equals the reference within 1e-4.', async (name) => {
    const columns = columnsOf(await speechOf(name));
    expect(columns).toHaveLength(481);
    expect(largestDifference(columns, new Float32Array(await bytesOf(`${name}_mel_reflect.f32`)))).toBeLessThanOrEqual(
      1e-4,
    );
  });

  it.each(speeches)('The ends of %s are padded by reflection, not with zeros.', async (name) => {
    const columns = columnsOf(await speechOf(name));
    expect(largestDifference(columns, new Float32Array(await bytesOf(`${name}_mel_zero.f32`)))).toBeGreaterThan(1e-2);
  });

  it('The mel filterbank equals the reference.', async () => {
    const expected = new Float32Array(await bytesOf('melbank_80x401.f32'));
    const dense = new Float32Array(80 * 401);
    createMelFilterbank(melFilterbank, 20).forEach(({ firstBin, weights }, band) =>
      dense.set(weights, band * 401 + firstBin),
    );
    expect(Math.max(...dense.map((weight, place) => Math.abs(weight - (expected[place] ?? Number.NaN))))).toBeLessThan(
      1e-8,
    );
  });

  it('Chunk starts equal the reference, and continue where it ends early.', async () => {
    const { chunk_table: table } = tableSchema.parse(
      JSON.parse(await readFile(join(vectors ?? '', 'audio', 'features.json'), 'utf8')),
    );
    expect(Object.keys(table).length).toBeGreaterThan(30);
    for (const [key, { mel_frames: columnCount, chunks, first, last }] of Object.entries(table)) {
      const [rate = '', seconds = ''] = key.split('|');
      const startOf = (frame: number): number => chunkStartColumn(frame, rateOf(rate), 0);
      const samples = new Float32Array(Math.floor(Number(seconds) * 16_000));
      expect(columnsOf(samples), key).toHaveLength(columnCount);
      // The reference replaces its final chunk by the last 16 columns; ours starts at or after them.
      const own = Array.from({ length: chunks - 1 }, (_, frame) => startOf(frame));
      const starts = [...own, columnCount - 16];
      expect([starts.slice(0, first.length), starts.slice(-last.length)], key).toEqual([first, last]);
      expect(startOf(chunks - 1), key).toBeGreaterThan(columnCount - 16);
    }
  });

  it('Streamed chunks equal slices of the complete reference spectrogram.', async () => {
    const samples = await speechOf('demo1');
    const expected = new Float32Array(await bytesOf('demo1_mel_reflect.f32'));
    async function* pieces(): AsyncGenerator<Float32Array> {
      for (let from = 0; from < samples.length; from += 1_111) yield samples.subarray(from, from + 1_111);
    }
    let frame = 0;
    for await (const chunk of openMelChunks({
      samples: pieces(),
      frameRate: { numerator: 25, denominator: 1 },
      frameCount: 146,
      windowStartMs: 0,
    })) {
      const start = Math.floor((frame * 16) / 5);
      const sliced = chunk.map(
        (_, place) => expected[Math.floor(place / 16) * 481 + start + (place % 16)] ?? Number.NaN,
      );
      expect(
        Math.max(...chunk.map((value, place) => Math.abs(value - (sliced[place] ?? Number.NaN)))),
      ).toBeLessThanOrEqual(1e-4);
      frame += 1;
    }
    expect(frame).toBe(146);
  });
});
