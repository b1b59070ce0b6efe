import { randomUUID } from 'node:crypto';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { LipsyncError } from '../../errors/index.ts';
import type { DecodeShape } from './decode-filter.ts';
import { FrameDecoder, frameBytesOf, type DecoderOptions } from './frame-decoder.ts';

/** Delivers frames by clip frame index. */
export interface FrameSource {
  /**
   * Returns a clip frame in a buffer that the caller then owns. `again` announces that the next call is for the same
   * frame. Throws `clip_unusable`, `media_failed` or the abort error.
   */
  read(clipFrame: number, again: boolean): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Reads forward; a frame before the current one restarts the decoder. */
export class ForwardSource implements FrameSource {
  readonly #options: DecoderOptions;
  #decoder: FrameDecoder | undefined;
  /** The frame at `#position`, unless the caller owns it. */
  #current: Uint8Array | undefined;
  #position = -1;

  constructor(options: DecoderOptions) {
    this.#options = options;
  }

  async read(clipFrame: number, again: boolean): Promise<Uint8Array> {
    const { pool, shape } = this.#options;
    const decoder = await this.#decoderFor(clipFrame);
    while (this.#position < clipFrame && (await decoder.hasNext())) {
      if (this.#current) pool.release(this.#current);
      this.#current = await decoder.next();
      this.#position = frameAfter(shape, this.#position);
    }
    if (!this.#current)
      throw new LipsyncError(
        'clip_unusable',
        'The clip cannot be decoded because it is damaged. Convert it to MP4 (H.264) first.',
      );
    // The last frame is kept, so that a clip that ends early repeats it.
    if (again || this.#position < clipFrame || !(await decoder.hasNext())) return pool.acquireCopy(this.#current);
    const frame = this.#current;
    this.#current = undefined;
    return frame;
  }

  async close(): Promise<void> {
    if (this.#current) this.#options.pool.release(this.#current);
    this.#current = undefined;
    await this.#decoder?.stop();
    this.#decoder = undefined;
  }

  async #decoderFor(clipFrame: number): Promise<FrameDecoder> {
    if (this.#decoder && clipFrame >= this.#position) return this.#decoder;
    await this.close();
    const { start, every = 1, parts } = this.#options.shape;
    this.#position = parts ? start - 1 : start - every;
    this.#decoder = await FrameDecoder.open(this.#options);
    return this.#decoder;
  }
}

/** The frame that the decoder delivers after another one. */
function frameAfter({ every = 1, parts }: DecodeShape, frame: number): number {
  const part = parts?.find(({ end }) => end > frame + 1);
  return part ? Math.max(part.start, frame + 1) : frame + every;
}

export interface SpillOptions extends DecoderOptions {
  /** Folder for one temporary file, deleted on close. */
  readonly workFolder: string;
  readonly maxBytes: number;
}

/** Capacity of a spill file in frames. */
export function spillCapacity({ shape, maxBytes }: Pick<SpillOptions, 'shape' | 'maxBytes'>): number {
  return Math.max(1, Math.floor(maxBytes / frameBytesOf(shape)));
}

/**
 * Reads in any order: decodes the part of the clip around a requested frame once into a raw file of bounded size and
 * reads from there. Uses the memory of one frame. Reading a clip backwards that exceeds the file decodes it once per
 * part.
 */
export class SpillSource implements FrameSource {
  readonly #options: SpillOptions;
  readonly #frameBytes: number;
  readonly #path: string;
  #file: FileHandle | undefined;
  #part = { start: 0, end: 0 };

  constructor(options: SpillOptions) {
    this.#options = options;
    this.#frameBytes = frameBytesOf(options.shape);
    this.#path = join(options.workFolder, `frames-${randomUUID()}.raw`);
  }

  async read(clipFrame: number): Promise<Uint8Array> {
    const file = (this.#file ??= await open(this.#path, 'wx+', 0o600));
    if (clipFrame < this.#part.start || clipFrame >= this.#part.end) await this.#fill(file, clipFrame);
    const frame = this.#options.pool.acquire();
    const { bytesRead } = await file.read(
      frame,
      0,
      this.#frameBytes,
      (clipFrame - this.#part.start) * this.#frameBytes,
    );
    requireWhole(bytesRead, this.#frameBytes);
    this.#options.statistics.bytesCopied += this.#frameBytes;
    return frame;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    await rm(this.#path, { force: true });
  }

  async #fill(file: FileHandle, clipFrame: number): Promise<void> {
    const { shape, pool } = this.#options;
    const length = spillCapacity(this.#options);
    const start = shape.start + Math.floor((clipFrame - shape.start) / length) * length;
    const end = Math.min(start + length, shape.end);
    const source = new ForwardSource({ ...this.#options, shape: { ...shape, start, end } });
    this.#part = { start: 0, end: 0 };
    try {
      for (let index = start; index < end; index += 1) {
        const frame = await source.read(index, false);
        const { bytesWritten } = await file.write(frame, 0, this.#frameBytes, (index - start) * this.#frameBytes);
        requireWhole(bytesWritten, this.#frameBytes);
        this.#options.statistics.bytesCopied += this.#frameBytes;
        pool.release(frame);
      }
    } finally {
      await source.close();
    }
    this.#part = { start, end };
  }
}

function requireWhole(bytes: number, expected: number): void {
  if (bytes !== expected)
    throw new LipsyncError(
      'resource_exhausted',
      'The disk is too full for decoded frames of the clip. Free some space and try again.',
    );
}
