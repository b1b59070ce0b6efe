import { RowBuffer } from '../../audio/time-series.ts';
import { findRuns, type IndexRange } from '../labels.ts';
import type { SoundBlock } from './sound-blocks.ts';

/** A block is flat-topped when this share of its samples lies near its peak, … */
const minTopShare = 0.04;
/** … and they outnumber the samples on the way to it by this factor. A sine has 1.3, unclipped speech less than 0.5. */
const minTopRatio = 1.5;
const topLevel = 0.9;
const wayLevel = 0.7;
/** Quieter blocks are not clipped sound but noise. */
const minPeak = 0.01;
/** Flat tops lie near the ceiling of the whole sound; a codec moves them by up to 4 dB. */
const minOfCeiling = 0.6;
const bridgedBlocks = 25;

export interface Clipping {
  /** Share of the samples on flattened peaks or above full scale. */
  readonly share: number;
  /** Blocks with such samples. */
  readonly ranges: readonly IndexRange[];
}

/**
 * Finds clipped sound by the distribution of its amplitudes, which survives resampling and lossy codecs: clipping puts
 * many samples at the peak and few on the way to it. Also counts samples above full scale, which players clip. Keeps 12
 * bytes per block and channel.
 */
export class ClippingMeter {
  readonly #channels: { readonly peaks: RowBuffer; readonly tops: RowBuffer; readonly over: RowBuffer }[] = [];
  #samples = 0;

  addBlock({ channels }: SoundBlock): void {
    channels.forEach((samples, channel) => {
      this.#channels[channel] ??= { peaks: new RowBuffer(1), tops: new RowBuffer(1), over: new RowBuffer(1) };
      const { peaks, tops, over } = this.#channels[channel];
      const block = measureBlock(samples);
      peaks.append(Float32Array.of(block.peak));
      tops.append(Float32Array.of(block.top));
      over.append(Float32Array.of(block.over));
      this.#samples += samples.length;
    });
  }

  finish(): Clipping {
    let clipped = 0;
    const flagged = new Uint8Array(this.#channels[0]?.peaks.rowCount ?? 0);
    for (const channel of this.#channels) {
      const peaks = channel.peaks.toArray();
      const tops = channel.tops.toArray();
      const over = channel.over.toArray();
      const ceiling = peaks.reduce((highest, peak) => Math.max(highest, peak), 0);
      const threshold = Math.max(minPeak, minOfCeiling * Math.min(1, ceiling));
      peaks.forEach((peak, block) => {
        const count = Math.max(over[block] ?? 0, peak >= threshold ? (tops[block] ?? 0) : 0);
        if (count === 0) return;
        clipped += count;
        flagged[block] = 1;
      });
    }
    const ranges = findRuns(flagged.length, (block) => flagged[block] === 1, bridgedBlocks);
    return { share: this.#samples === 0 ? 0 : clipped / this.#samples, ranges };
  }
}

/** The peak of a block, its samples on a flat top (0 without one), and its samples above full scale. */
function measureBlock(samples: Float32Array): { readonly peak: number; readonly top: number; readonly over: number } {
  let peak = 0;
  let over = 0;
  for (let i = 0; i < samples.length; i += 1) {
    const value = Math.abs(samples[i] ?? 0);
    if (value > peak) peak = value;
    if (value > 1) over += 1;
  }
  let top = 0;
  let way = 0;
  for (let i = 0; i < samples.length; i += 1) {
    const value = Math.abs(samples[i] ?? 0);
    if (value >= topLevel * peak) top += 1;
    else if (value >= wayLevel * peak) way += 1;
  }
  const isFlat = top >= minTopShare * samples.length && top >= minTopRatio * way;
  return { peak, top: isFlat ? top : 0, over };
}
