import type { SoundFormat } from '../../media/index.ts';

/** Steps of about 1 ms per block of about 20 ms. */
const stepsPerBlock = 20;

/** One block of sound. The arrays are reused for the next block. */
export interface SoundBlock {
  /** Samples of each channel; the last block of a sound may be shorter. */
  readonly channels: readonly Float32Array[];
}

/** Cuts interleaved samples into blocks of one array per channel. */
export class SoundBlocks {
  /** Samples per channel in a step of about 1 ms. */
  readonly stepSamples: number;
  readonly blockSamples: number;
  readonly #channels: readonly Float32Array[];
  #filled = 0;

  constructor({ sampleRateHz, channels }: SoundFormat) {
    this.stepSamples = Math.max(1, Math.round(sampleRateHz / 1000));
    this.blockSamples = stepsPerBlock * this.stepSamples;
    this.#channels = Array.from({ length: channels }, () => new Float32Array(this.blockSamples));
  }

  /** Adds whole frames of all channels and calls `onBlock` for each complete block. */
  push(samples: Float32Array, onBlock: (block: SoundBlock) => void): void {
    const channelCount = this.#channels.length;
    const frames = samples.length / channelCount;
    for (let frame = 0; frame < frames;) {
      const count = Math.min(frames - frame, this.blockSamples - this.#filled);
      this.#channels.forEach((target, channel) => {
        for (let i = 0; i < count; i += 1)
          target[this.#filled + i] = samples[(frame + i) * channelCount + channel] ?? 0;
      });
      frame += count;
      this.#filled += count;
      if (this.#filled < this.blockSamples) continue;
      onBlock({ channels: this.#channels });
      this.#filled = 0;
    }
  }

  /** Passes on the incomplete last block, if there is one. */
  finish(onBlock: (block: SoundBlock) => void): void {
    if (this.#filled === 0) return;
    onBlock({ channels: this.#channels.map((channel) => channel.subarray(0, this.#filled)) });
    this.#filled = 0;
  }
}
