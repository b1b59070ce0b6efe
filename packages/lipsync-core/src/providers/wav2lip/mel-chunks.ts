import { melBandCount, melColumnsPerSecond, MelSpectrogram, silentMel } from '../../audio/mel-spectrogram.ts';
import type { FrameRate } from '../../media/media-types.ts';

/** Columns of a mel chunk: 200 ms. */
export const melChunkColumns = 16;
/** Values of a mel chunk: one per band and column. */
export const melChunkLength = melBandCount * melChunkColumns;

/** Default of `windowStartMs` in `MelChunksOptions`. */
export const defaultWindowStartMs = -40;

/** The mel chunk of digital silence. */
export const silentMelChunk: Float32Array = new Float32Array(melChunkLength).fill(silentMel);

/** Samples per push: at most one mel column, so that the ring buffer never overflows. */
const sliceSamples = 200;
/** Capacity of the ring buffer: one chunk, the columns that `finish` adds, and reserve. */
const ringColumns = 32;

const columnsPerSecond = BigInt(melColumnsPerSecond);
const msPerSecond = 1000n;

/**
 * The first mel column of an output frame: floor(80 · (frame / rate + windowStartMs / 1000)) in integer arithmetic, so
 * that no frame rate or length causes rounding errors. Negative before the start of the speech.
 *
 * @param windowStartMs start of the window relative to its frame, in whole milliseconds
 */
export function chunkStartColumn(frame: number, { numerator, denominator }: FrameRate, windowStartMs: number): number {
  const rate = BigInt(numerator);
  const dividend =
    columnsPerSecond * (msPerSecond * BigInt(frame) * BigInt(denominator) + BigInt(windowStartMs) * rate);
  return Number(floorDivide(dividend, msPerSecond * rate));
}

/** BigInt division truncates toward zero; this rounds down. */
function floorDivide(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  return dividend % divisor < 0n ? quotient - 1n : quotient;
}

export interface MelChunksOptions {
  /** Speech samples: mono, 16 kHz, −1 to 1, in blocks of any length. */
  readonly samples: AsyncIterable<Float32Array>;
  readonly frameRate: FrameRate;
  /** The first output frame that gets a chunk; 0 by default. */
  readonly firstFrame?: number;
  /** Number of output frames, including those before the first one and after the end of the speech. */
  readonly frameCount: number;
  /**
   * Start of the 200 ms window relative to its frame, in whole milliseconds: 0 in the published inference script, −40
   * in training (see docs/decisions). Earlier windows delay the lips.
   */
  readonly windowStartMs: number;
}

/**
 * Streams one mel chunk per output frame from the first one on: arrays of 80 × 16 values, band-major from the lowest
 * band. The caller owns the arrays. Columns before and after the speech are silent. Reads only the samples that the
 * frames need and closes the source then, or when the caller stops early; passes on its errors. Memory does not depend
 * on the lengths.
 */
export async function* openMelChunks({
  samples,
  frameRate,
  firstFrame = 0,
  frameCount,
  windowStartMs,
}: MelChunksOptions): AsyncGenerator<Float32Array> {
  const ring = new ColumnRing();
  const spectrogram = new MelSpectrogram((column) => ring.add(column));
  let frame = firstFrame;
  let start = chunkStartColumn(frame, frameRate, windowStartMs);
  const next = (): Float32Array => {
    const chunk = ring.chunkAt(start);
    frame += 1;
    start = chunkStartColumn(frame, frameRate, windowStartMs);
    return chunk;
  };
  for await (const block of samples) {
    for (let from = 0; from < block.length; from += sliceSamples) {
      spectrogram.push(block.subarray(from, from + sliceSamples));
      while (frame < frameCount && start + melChunkColumns <= ring.count) yield next();
      if (frame >= frameCount) return;
    }
  }
  spectrogram.finish();
  while (frame < frameCount) yield next();
}

/** The most recent mel columns. */
class ColumnRing {
  readonly #columns = new Float32Array(ringColumns * melBandCount);
  #count = 0;

  /** Columns added so far. */
  get count(): number {
    return this.#count;
  }

  add(column: Float32Array): void {
    this.#columns.set(column, (this.#count % ringColumns) * melBandCount);
    this.#count += 1;
  }

  /** A new chunk that starts at column `start`; columns that do not exist are silent. */
  chunkAt(start: number): Float32Array {
    const columns = this.#columns;
    const count = this.#count;
    const chunk = new Float32Array(melChunkLength).fill(silentMel);
    for (let time = Math.max(0, -start); time < melChunkColumns && start + time < count; time++) {
      const offset = ((start + time) % ringColumns) * melBandCount;
      for (let band = 0; band < melBandCount; band++)
        chunk[band * melChunkColumns + time] = columns[offset + band] ?? silentMel;
    }
    return chunk;
  }
}
