import type { FaceFrame, FaceTrack } from './face-types.ts';
import { mouthVisibility, type VisibilityFacts } from './mouth-visibility.ts';

/** The frames of a track that are decided while the clip is tracked. */
export interface DecidedFrames {
  /** Number of frames, from the first one on, that never change. */
  readonly readyFrames: number;
  /** Description of the decided frames, of which the last ones may still change their visibility. */
  readonly description: VisibilityFacts;
  read(index: number): FaceFrame;
}

/** Follows the tracking of a clip. */
export interface TrackListener {
  /** Called when more frames are decided, and with the complete track. Earlier sources of frames may be closed then. */
  onDecided(frames: DecidedFrames): void;
  /** Called before the sources of frames are closed. */
  onFailed(error: unknown): void;
}

/** Tracks a clip, notifies the listener, and resolves with the complete track. */
export type TrackClip = (listener: TrackListener, signal: AbortSignal) => Promise<FaceTrack>;

/**
 * A face track that is read while the clip is tracked. What it returns for a frame equals the complete track. The owner
 * calls `close`.
 */
export class GrowingTrack {
  /** Number of frames of the complete track. */
  readonly frameCount: number;
  readonly #stop = new AbortController();
  readonly #complete: Promise<FaceTrack>;
  #source: Pick<FaceTrack, 'frame' | 'visibility' | 'shotStarts'> | undefined;
  #readyFrames = 0;
  #failure: { readonly error: unknown } | undefined;
  #growth = Promise.withResolvers<void>();

  /** Starts tracking; `signal` and `close` abort it. */
  constructor(frameCount: number, trackClip: TrackClip, signal: AbortSignal) {
    this.frameCount = frameCount;
    this.#complete = this.#track(trackClip, AbortSignal.any([signal, this.#stop.signal]));
    this.#complete.catch((error: unknown) => this.#fail(error));
    this.#growth.promise.catch(() => undefined);
  }

  /** Resolves when a frame can be read. Throws the error of tracking, and a RangeError outside the track. */
  async ready(index: number): Promise<void> {
    if (index >= this.frameCount)
      throw new RangeError(`Frame ${index} is outside the track of ${this.frameCount} frames.`);
    while (this.#failure || index >= this.#readyFrames) await this.#growth.promise;
  }

  /** Resolves with the complete track, which `close` closes. Throws the error of tracking. */
  complete(): Promise<FaceTrack> {
    return this.#complete;
  }

  /** As in `FaceTrack`. Throws a RangeError for a frame that is not ready, and the error of tracking. */
  frame(index: number): FaceFrame {
    return this.#sourceOf(index).frame(index);
  }

  /** As in `FaceTrack`. Throws a RangeError for a frame that is not ready. */
  visibility(index: number): number {
    return this.#sourceOf(index).visibility(index);
  }

  /** Index of the shot of a frame. Throws a RangeError for a frame that is not ready. */
  shotAt(index: number): number {
    return this.#sourceOf(index).shotStarts.findLastIndex((start) => start <= index);
  }

  /** Aborts tracking, waits for its end, and closes the complete track. */
  async close(): Promise<void> {
    this.#stop.abort();
    const [result] = await Promise.allSettled([this.#complete]);
    if (result.status === 'fulfilled') result.value.close();
  }

  async #track(trackClip: TrackClip, signal: AbortSignal): Promise<FaceTrack> {
    const listener: TrackListener = {
      onDecided: ({ readyFrames, description, read }) => {
        const visibility = mouthVisibility(description);
        const { shotStarts } = description;
        this.#grow(readyFrames, { frame: read, shotStarts, visibility: (index) => (visibility[index] ?? 0) / 255 });
      },
      onFailed: (error) => this.#fail(error),
    };
    const track = await trackClip(listener, signal);
    this.#grow(track.frameCount, track);
    return track;
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#growth.reject(this.#failure.error);
  }

  #grow(readyFrames: number, source: Pick<FaceTrack, 'frame' | 'visibility' | 'shotStarts'>): void {
    this.#source = source;
    this.#readyFrames = readyFrames;
    const { resolve } = this.#growth;
    this.#growth = Promise.withResolvers<void>();
    this.#growth.promise.catch(() => undefined);
    resolve();
  }

  #sourceOf(index: number) {
    if (this.#failure) throw this.#failure.error;
    if (!this.#source || !Number.isInteger(index) || index < 0 || index >= this.#readyFrames)
      throw new RangeError(`Frame ${index} is not ready; ${this.#readyFrames} frames of the track are.`);
    return this.#source;
  }
}
