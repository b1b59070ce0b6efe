import type { FrameRate } from '../../../media/media-types.ts';
import { chunkStartColumn } from './chunk-start.ts';
import { melBandCount, MelSpectrogram, silentMel } from '../../../audio/mel-spectrogram.ts';

/** Columns of a chunk: 200 ms. */
export const melChunkColumns = 16;
/** Values of a chunk: one per band and column. */
export const melChunkLength = melBandCount * melChunkColumns;

/** What a frame hears of silence. */
export const silentMelChunk: Float32Array = new Float32Array(melChunkLength).fill(silentMel);

/** So few samples at a time that one column at most comes of them and the ring never overflows. */
const sliceSamples = 200;
/** A chunk, the columns that the end of the speech adds at once, and room to spare. */
const ringColumns = 32;

export interface MelChunksOptions {
  /** Speech as it is read: mono, 16 kHz, −1…1, in pieces of any length. */
  readonly samples: AsyncIterable<Float32Array>;
  readonly frameRate: FrameRate;
  /** Output frames, also those beyond the end of the speech. */
  readonly frameCount: number;
  /**
   * Start of the 200 ms that a frame is made from, relative to the time of the frame, in whole milliseconds: 0 as in
   * the published inference script, −40 as in training (docs/decisions tells more). Earlier sound makes later lips.
   */
  readonly windowStartMs: number;
}

/**
 * What Wav2Lip hears for each output frame: exactly `frameCount` arrays of 80 × 16 values, band by band from the lowest,
 * each band in order of time. They are the caller's to keep. Before and behind the speech everything is silent. Reads
 * no more of the speech than the frames need, ends its reading then or when the loop is left early, and throws what
 * that reading throws. Memory does not depend on lengths.
 */
export async function* openMelChunks({
  samples,
  frameRate,
  frameCount,
  windowStartMs,
}: MelChunksOptions): AsyncGenerator<Float32Array> {
  const ring = createColumnRing();
  const spectrogram = new MelSpectrogram(ring.add);
  let frame = 0;
  let start = chunkStartColumn(0, frameRate, windowStartMs);
  const next = (): Float32Array => {
    const chunk = ring.chunkAt(start);
    frame += 1;
    start = chunkStartColumn(frame, frameRate, windowStartMs);
    return chunk;
  };
  for await (const block of samples) {
    for (let from = 0; from < block.length; from += sliceSamples) {
      spectrogram.push(block.subarray(from, from + sliceSamples));
      while (frame < frameCount && start + melChunkColumns <= ring.count()) yield next();
      if (frame >= frameCount) return;
    }
  }
  spectrogram.finish();
  while (frame < frameCount) yield next();
}

interface ColumnRing {
  readonly add: (column: Float32Array) => void;
  /** Columns added so far. */
  readonly count: () => number;
  /** A new chunk whose first column is `start`; columns that were never added are silent. */
  readonly chunkAt: (start: number) => Float32Array;
}

/** The latest columns. */
function createColumnRing(): ColumnRing {
  const columns = new Float32Array(ringColumns * melBandCount);
  let count = 0;
  return {
    add(column) {
      columns.set(column, (count % ringColumns) * melBandCount);
      count += 1;
    },
    count: () => count,
    chunkAt(start) {
      const chunk = new Float32Array(melChunkLength).fill(silentMel);
      for (let time = Math.max(0, -start); time < melChunkColumns && start + time < count; time++) {
        const place = ((start + time) % ringColumns) * melBandCount;
        for (let band = 0; band < melBandCount; band++)
          chunk[band * melChunkColumns + time] = columns[place + band] ?? silentMel;
      }
      return chunk;
    },
  };
}
