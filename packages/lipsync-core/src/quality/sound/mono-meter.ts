import type { SoundBlock } from './sound-blocks.ts';

const quietestDb = -60;

/** Measures what is left of a sound in a mono mix. Keeps two sums. */
export class MonoMeter {
  #mixed = 0;
  #separate = 0;

  addBlock({ channels }: SoundBlock): void {
    const length = channels[0]?.length ?? 0;
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      for (const samples of channels) {
        const sample = samples[i] ?? 0;
        sum += sample;
        this.#separate += (sample * sample) / channels.length;
      }
      this.#mixed += (sum / channels.length) ** 2;
    }
  }

  /**
   * Level of the mean of the channels relative to that of the single channels, dB: 0 for equal channels, −3 for two
   * independent ones, and far below for channels that cancel each other. Null for silence.
   */
  finish(): number | null {
    if (this.#separate === 0) return null;
    const levelDb = 10 * Math.log10(this.#mixed / this.#separate + 1e-9);
    return Math.max(quietestDb, Math.round(levelDb * 1000) / 1000);
  }
}
