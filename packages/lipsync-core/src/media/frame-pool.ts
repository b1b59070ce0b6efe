/** What a reader did, for benchmarks. */
export interface FrameStatistics {
  /** Bytes moved from one buffer of ours to another. */
  bytesCopied: number;
  framesDecoded: number;
  /** Frame buffers that exist; the bound on the reader's memory. */
  buffersAllocated: number;
}

/** Buffers of one frame each, made when none is free and used again for ever. */
export class FramePool {
  readonly #frameBytes: number;
  readonly #statistics: FrameStatistics;
  readonly #free: Uint8Array[] = [];

  constructor(frameBytes: number, statistics: FrameStatistics) {
    this.#frameBytes = frameBytes;
    this.#statistics = statistics;
  }

  acquire(): Uint8Array {
    const free = this.#free.pop();
    if (free) return free;
    this.#statistics.buffersAllocated += 1;
    // Shared, so that a frame can be handed to another thread without a copy.
    return new Uint8Array(new SharedArrayBuffer(this.#frameBytes));
  }

  acquireCopy(frame: Uint8Array): Uint8Array {
    const copy = this.acquire();
    copy.set(frame);
    this.#statistics.bytesCopied += frame.length;
    return copy;
  }

  release(frame: Uint8Array): void {
    this.#free.push(frame);
  }
}
