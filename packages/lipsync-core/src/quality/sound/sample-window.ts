/** The recent part of a stream of samples, addressed by position in the stream. */
export class SampleWindow {
  #samples = new Float32Array(65_536);
  #start = 0;
  #length = 0;

  /** Position after the last sample. */
  get end(): number {
    return this.#start + this.#length;
  }

  append(samples: Float32Array): void {
    if (this.#length + samples.length > this.#samples.length) {
      const larger = new Float32Array(2 * (this.#length + samples.length));
      larger.set(this.#samples.subarray(0, this.#length));
      this.#samples = larger;
    }
    this.#samples.set(samples, this.#length);
    this.#length += samples.length;
  }

  /** Copies `length` samples from `position`; those that are not kept are silence. */
  read(position: number, length: number): Float32Array {
    const result = new Float32Array(length);
    const from = Math.max(position, this.#start);
    const to = Math.min(position + length, this.end);
    if (from < to) result.set(this.#samples.subarray(from - this.#start, to - this.#start), from - position);
    return result;
  }

  discardBefore(position: number): void {
    const count = Math.min(this.#length, position - this.#start);
    if (count <= 0) return;
    this.#samples.copyWithin(0, count, this.#length);
    this.#start += count;
    this.#length -= count;
  }
}
