import { framesPerSecond, openFrames, seamFrameAt, type Frame, type Picture } from '../../media/index.ts';
import type { FaceReader, FaceReaderSetup } from '../lips/face-reader.ts';

/** Decoding the whole source of a long take would cost as much as decoding the take. */
const comparedS = 10;

/**
 * Decodes about five pictures per second of the source clip beside the video, while the video shows the clip for
 * the first time, up to 10 s.
 */
export class SourcePictures {
  readonly #setup: FaceReaderSetup;
  readonly #faces: FaceReader;
  readonly #every: number;
  #frames: AsyncIterator<Frame> | undefined;
  #current: Frame | undefined;

  constructor(setup: FaceReaderSetup, faces: FaceReader) {
    this.#setup = setup;
    this.#faces = faces;
    this.#every = faces.pictureEvery;
  }

  /** The source picture that a frame of the video shows; undefined in most frames. Call with ascending indexes. */
  async at(index: number): Promise<Picture | undefined> {
    const { source } = this.#setup.input;
    if (!source) return undefined;
    const { timeline, clip } = source;
    const isStill = clip.kind === 'still';
    const frame = isStill ? index : this.#faces.trackFrameAt(index);
    if (frame % this.#every !== 0 || seamFrameAt(timeline, this.#faces.sourceIndexAt(index))) return undefined;
    if (isStill) return (this.#current ??= await this.#next());
    const clipFrame = frame + timeline.windowStart;
    // Earlier frames are shown again.
    if (clipFrame <= (this.#current?.clipFrame ?? -1)) return undefined;
    while ((this.#current?.clipFrame ?? -1) < clipFrame) {
      this.#current = await this.#next();
      if (!this.#current) return undefined;
    }
    return this.#current?.clipFrame === clipFrame ? this.#current : undefined;
  }

  async close(): Promise<void> {
    await this.#frames?.return?.();
  }

  async #next(): Promise<Frame | undefined> {
    this.#frames ??= this.#open()?.[Symbol.asyncIterator]();
    const result = await this.#frames?.next();
    return result && !result.done ? result.value : undefined;
  }

  #open() {
    const { input, signal } = this.#setup;
    const { source } = input;
    if (!source) return undefined;
    const { clipPath: path, clip, timeline } = source;
    const length = Math.min(timeline.windowLength, Math.round(comparedS * framesPerSecond(clip.frameRate)));
    const range = { start: timeline.windowStart, end: timeline.windowStart + length };
    return openFrames({ path, facts: clip, range, every: this.#every, signal });
  }
}
