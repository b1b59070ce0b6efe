import { probeSound, readMonoSound, shiftSound, type SoundTrack } from '../../media/index.ts';

type ChunkListener = (chunk: Float32Array) => Promise<void>;

/** The sound of a video on the time axis of its picture, mono at 16 kHz, decoded once for all analyzers. */
export class SoundFeed {
  /** Null without sound. */
  readonly track: SoundTrack | null;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #listeners: ChunkListener[] = [];

  constructor(path: string, track: SoundTrack | null, signal: AbortSignal) {
    this.#path = path;
    this.track = track;
    this.#signal = signal;
  }

  /** Probes the sound of a video. Throws `media_failed` or the abort error. */
  static async open(path: string, signal: AbortSignal): Promise<SoundFeed> {
    return new SoundFeed(path, await probeSound(path, signal), signal);
  }

  /** Passes every chunk to a listener, which must not change it or throw. Call before `read`. */
  listen(listener: ChunkListener): void {
    this.#listeners.push(listener);
  }

  /** Decodes the sound; call once. Throws `media_failed` or the abort error. */
  async *read(): AsyncGenerator<Float32Array> {
    if (!this.track) return;
    for await (const chunk of shiftSound(readMonoSound(this.#path, this.track, this.#signal), this.track.delayMs)) {
      for (const listener of this.#listeners) await listener(chunk);
      yield chunk;
    }
  }
}
