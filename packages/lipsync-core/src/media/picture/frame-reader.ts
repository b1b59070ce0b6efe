import { LipsyncError } from '../../errors/index.ts';
import type { FrameRange, PictureArea, PixelFormat } from './decode-filter.ts';
import { FramePool, frameBytesOf, type DecoderOptions, type FrameStatistics } from './frame-decoder.ts';
import { ForwardSource, SpillSource, spillCapacity, type FrameSource } from './frame-sources.ts';
import type { ClipFacts } from '../media-types.ts';
import { clipFrameAt, seamFrameAt, type Timeline } from '../timeline.ts';

/** Disk space for reading a clip more than once; about a minute at 720p25. */
const defaultSpillBytes = 2 * 1024 ** 3;

interface CommonOptions {
  readonly path: string;
  readonly facts: ClipFacts;
  /** Output size in even numbers; the size of the clip by default. */
  readonly width?: number;
  readonly height?: number;
  /** `yuv420p` (default): planes Y, U, V without padding. `rgb24`: three bytes per pixel. */
  readonly pixelFormat?: PixelFormat;
  /** How many yielded frames stay valid at once; 1 by default. */
  readonly keepFrames?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface RangeOptions extends CommonOptions {
  /** Clip frames in order, end exclusive. */
  readonly range: { readonly start: number; readonly end: number };
  /** Yields the first of so many frames only; 1 by default. */
  readonly every?: number;
  /** Yields only these parts of the range, ascending and without overlap; ffmpeg drops the frames between them. */
  readonly parts?: readonly FrameRange[];
  /**
   * Reads from a keyframe before the range on, for clips with `canSeek`. Use the pictures only after the last one:
   * damaged or unusual files deliver others, which is noticed at the end.
   */
  readonly seek?: boolean;
  /** Throws `media_failed` at the end of a clip that is shorter than probed, instead of repeating the last picture. */
  readonly exact?: boolean;
  /** Yields this area of the pictures; not together with a size. */
  readonly area?: PictureArea;
}

export interface TimelineFrameOptions extends CommonOptions {
  readonly timeline: Timeline;
  /** Folder for a temporary file when the timeline repeats parts of the clip. */
  readonly workFolder: string;
  readonly spillBytes?: number;
  /**
   * Yields the two pictures of an output frame at the seam of a loop one after the other, with the same `index`: its own
   * one, then that of `seamFrameAt`. By default, only its own one.
   */
  readonly withSeams?: boolean;
}

export interface Frame {
  /** Counts yielded frames from 0; with a timeline, the output frame. */
  readonly index: number;
  readonly clipFrame: number;
  readonly width: number;
  readonly height: number;
  /** The caller may modify it until it requests `keepFrames` further frames. */
  readonly data: Uint8Array;
}

/** Frames for a single iteration. Leaving the loop in any way stops ffmpeg and deletes temporary files. */
export interface FrameStream extends AsyncIterable<Frame> {
  readonly statistics: Readonly<FrameStatistics>;
}

/**
 * Decodes a clip into upright frames at its constant rate: a range, or all frames in the order of a timeline. Yields
 * exactly the requested number of frames and repeats the last one if the clip is shorter than probed.
 *
 * Ownership: the reader reuses its buffers. The caller may read and modify a frame until it requests `keepFrames` more.
 * Memory is bounded by `keepFrames` plus a few frames of read-ahead.
 *
 * Iteration throws `clip_unusable` when nothing can be decoded, `media_failed`, or the abort error.
 */
export function openFrames(options: RangeOptions | TimelineFrameOptions): FrameStream {
  const statistics: FrameStatistics = { bytesCopied: 0, framesDecoded: 0, buffersAllocated: 0 };
  return { statistics, [Symbol.asyncIterator]: () => deliver(options, statistics) };
}

/** The clip frame at each output index, and the range that contains them. */
interface FrameOrder {
  readonly frameCount: number;
  readonly start: number;
  readonly end: number;
  /** Whether seams are delivered. */
  readonly repeats: boolean;
  at(index: number): number;
  /** The other clip frame at a seam. */
  seamAt(index: number): number | undefined;
}

/** The first and the last picture of the window, which are shown again at the seams of a loop. */
class SeamPictures {
  readonly #pool: FramePool;
  readonly #pictures = new Map<number, Uint8Array>();

  constructor(pool: FramePool) {
    this.#pool = pool;
  }

  /** Copies a picture that seams need. Must be called before the picture is yielded, because callers modify it. */
  keep(clipFrame: number, { start, end }: FrameOrder, data: Uint8Array): void {
    const isNeeded = clipFrame === start || clipFrame === end - 1;
    if (isNeeded && !this.#pictures.has(clipFrame)) this.#pictures.set(clipFrame, this.#pool.acquireCopy(data));
  }

  copyOf(clipFrame: number): readonly { readonly clipFrame: number; readonly data: Uint8Array }[] {
    const picture = this.#pictures.get(clipFrame);
    return picture ? [{ clipFrame, data: this.#pool.acquireCopy(picture) }] : [];
  }
}

async function* deliver(
  options: RangeOptions | TimelineFrameOptions,
  statistics: FrameStatistics,
): AsyncGenerator<Frame> {
  const { facts } = options;
  const order = getOrder(options);
  const { every = 1, parts, seek, exact = false, area } = 'range' in options ? options : {};
  const { width = facts.width, height = facts.height } = { ...options, ...area };
  const { pixelFormat = 'yuv420p', keepFrames = 1 } = options;
  const shape = { width, height, pixelFormat, start: order.start, end: order.end, every, parts, seek, area };
  const pool = new FramePool(frameBytesOf(shape), statistics);
  const { path, signal } = options;
  const source = chooseSource(options, { path, facts, shape, pool, statistics, signal });
  const seams = new SeamPictures(pool);
  const delivered: Uint8Array[] = [];
  try {
    for (let index = 0; index < order.frameCount; index += 1) {
      const clipFrame = order.at(index);
      const again = index + 1 < order.frameCount && order.at(index + 1) === clipFrame;
      const data = await source.read(clipFrame, again);
      if (order.repeats) seams.keep(clipFrame, order, data);
      const other = order.seamAt(index);
      const pictures = [{ clipFrame, data }, ...(other === undefined ? [] : seams.copyOf(other))];
      for (const picture of pictures) {
        delivered.push(picture.data);
        yield { index, clipFrame: picture.clipFrame, width, height, data: picture.data };
        if (delivered.length >= keepFrames) pool.release(delivered.shift() ?? picture.data);
      }
    }
    if (exact && statistics.framesDecoded < order.frameCount)
      throw new LipsyncError('media_failed', 'The clip has fewer frames than expected. Use another copy of the file.');
  } finally {
    await source.close();
  }
}

function getOrder(options: RangeOptions | TimelineFrameOptions): FrameOrder {
  if ('range' in options) {
    const { range, every = 1, parts } = options;
    const { start, end } = range;
    if (parts) {
      const frames = parts.flatMap((part) => Array.from({ length: part.end - part.start }, (_, i) => part.start + i));
      const frameAt = (index: number): number => frames[index] ?? end - 1;
      return { frameCount: frames.length, start, end, repeats: false, at: frameAt, seamAt: () => undefined };
    }
    const at = (index: number): number => start + index * every;
    return { frameCount: Math.ceil((end - start) / every), start, end, repeats: false, at, seamAt: () => undefined };
  }
  const { timeline, withSeams = false } = options;
  const { windowStart: start, windowLength } = timeline;
  return {
    frameCount: timeline.frameCount,
    start,
    end: start + windowLength,
    repeats: withSeams && timeline.frameCount > windowLength,
    at: (index) => clipFrameAt(timeline, index),
    seamAt: (index) => (withSeams ? seamFrameAt(timeline, index)?.clipFrame : undefined),
  };
}

function chooseSource(options: RangeOptions | TimelineFrameOptions, decoding: DecoderOptions): FrameSource {
  if ('range' in options || options.facts.kind === 'still') return new ForwardSource(decoding);
  const { timeline, workFolder, spillBytes = defaultSpillBytes } = options;
  const repeats = timeline.frameCount > timeline.windowLength && timeline.windowLength > 1;
  const spill = { ...decoding, workFolder, maxBytes: spillBytes };
  const fits = timeline.windowLength <= spillCapacity(spill);
  if (timeline.syncMode === 'loop' && repeats && fits) return new SpillSource(spill);
  if (timeline.syncMode === 'bounce' && repeats) return new SpillSource(spill);
  return new ForwardSource(decoding);
}
