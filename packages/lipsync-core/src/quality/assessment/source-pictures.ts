import { openFramesAhead, seamFrameAt, type Frame, type Picture } from '../../media/index.ts';
import type { FaceReader, FaceReaderSetup } from '../lips/face-reader.ts';

/** Pictures of the source clip per second. */
const picturesPerSecond = 5;

/** Decodes the source clip along its timeline, beside the video, and hands out a few of its pictures. */
export class SourcePictures {
  readonly #setup: FaceReaderSetup;
  readonly #faces: FaceReader;
  readonly #every: number;
  #frames: AsyncIterator<Frame> | undefined;
  #current: Frame | undefined;

  constructor(setup: FaceReaderSetup, faces: FaceReader) {
    this.#setup = setup;
    this.#faces = faces;
    this.#every = Math.max(1, Math.round(setup.framesPerSecond / picturesPerSecond));
  }

  /** The source picture that a frame of the video shows; undefined in most frames. Call with ascending indexes. */
  async at(index: number): Promise<Picture | undefined> {
    const { source } = this.#setup.input;
    if (!source || index % this.#every !== 0) return undefined;
    const wanted = this.#faces.sourceIndexAt(index);
    if (seamFrameAt(source.timeline, wanted)) return undefined;
    this.#frames ??= this.#open()?.[Symbol.asyncIterator]();
    while (this.#frames && (this.#current?.index ?? -1) < wanted) {
      const { value, done }: IteratorResult<Frame> = await this.#frames.next();
      if (done) return undefined;
      this.#current = value;
    }
    return this.#current;
  }

  async close(): Promise<void> {
    await this.#frames?.return?.();
  }

  #open() {
    const { input, signal } = this.#setup;
    const { source, workFolder } = input;
    if (!source) return undefined;
    const { clipPath: path, clip: facts, timeline } = source;
    return openFramesAhead({ path, facts, timeline, workFolder, signal });
  }
}
