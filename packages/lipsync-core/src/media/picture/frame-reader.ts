import { LipsyncError } from '../../errors/index.ts';
import { canSeek, type FrameRange, type PictureArea, type PixelFormat } from './decode-filter.ts';
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
  /**
   * Yields only these output frames; all by default. A clip with `canSeek` is read from a keyframe before them, and one
   * that does not deliver all of its frames then throws `media_failed` at the end.
   */
  readonly outputs?: FrameRange | undefined;
  /** Folder for a temporary file when the timeline repeats parts of the clip. */
  readonly workFolder: string;
  readonly spillBytes?: number;
  /**
   * Yields the two pictures of an output frame at the seam of a loop one after the other, with the same `index`: its
   * own one, then that of `seamFrameAt`. By default, only its own one.
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

/** The clip frame at each index from `firstIndex` on, and the range that contains them. */
interface FrameOrder {
  readonly firstIndex: number;
  readonly frameCount: number;
  readonly start: number;
  readonly end: number;
  /** Whether seams are delivered. */
  readonly repeats: boolean;
  /** Whether one pass over the range is known to suffice. */
  readonly isForward: boolean;
  readonly seek: boolean;
  /** Whether the clip must deliver every frame of the range. */
  readonly exact: boolean;
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

  /** Returns a copy; of a picture that was not read yet, the one that `source` reads. */
  async copyOf(clipFrame: number, source: FrameSource): Promise<Uint8Array> {
    const picture = this.#pictures.get(clipFrame) ?? (await source.read(clipFrame, false));
    this.#pictures.set(clipFrame, picture);
    return this.#pool.acquireCopy(picture);
  }
}

async function* deliver(
  options: RangeOptions | TimelineFrameOptions,
  statistics: FrameStatistics,
): AsyncGenerator<Frame> {
  const { facts } = options;
  const order = getOrder(options);
  const { every = 1, parts, area } = 'range' in options ? options : {};
  const { width = facts.width, height = facts.height } = { ...options, ...area };
  const { pixelFormat = 'yuv420p', keepFrames = 1 } = options;
  const { start, end, seek } = order;
  const shape = { width, height, pixelFormat, start, end, every, parts, seek, area };
  const pool = new FramePool(frameBytesOf(shape), statistics);
  const { path, signal } = options;
  const source = chooseSource(options, order, { path, facts, shape, pool, statistics, signal });
  const seams = new SeamPictures(pool);
  const delivered: Uint8Array[] = [];
  try {
    const endIndex = order.firstIndex + order.frameCount;
    for (let index = order.firstIndex; index < endIndex; index += 1) {
      const clipFrame = order.at(index);
      const again = index + 1 < endIndex && order.at(index + 1) === clipFrame;
      const data = await source.read(clipFrame, again);
      if (order.repeats) seams.keep(clipFrame, order, data);
      const other = order.seamAt(index);
      const pictures = [{ clipFrame, data }];
      if (other !== undefined) pictures.push({ clipFrame: other, data: await seams.copyOf(other, source) });
      for (const picture of pictures) {
        delivered.push(picture.data);
        yield { index, clipFrame: picture.clipFrame, width, height, data: picture.data };
        if (delivered.length >= keepFrames) pool.release(delivered.shift() ?? picture.data);
      }
    }
    if (order.exact && statistics.framesDecoded < countDecoded(order, { every, parts }))
      throw new LipsyncError('media_failed', 'The clip has fewer frames than expected. Use another copy of the file.');
  } finally {
    await source.close();
  }
}

/** Frames that ffmpeg delivers for an order: all of its range, or only those that it selects. */
function countDecoded(
  { start, end, frameCount }: FrameOrder,
  { every, parts }: { readonly every: number; readonly parts: readonly FrameRange[] | undefined },
): number {
  return every > 1 || parts ? frameCount : end - start;
}

function getOrder(options: RangeOptions | TimelineFrameOptions): FrameOrder {
  return 'range' in options ? getRangeOrder(options) : getTimelineOrder(options);
}

function getRangeOrder({ range, every = 1, parts, seek = false, exact = false }: RangeOptions): FrameOrder {
  const { start, end } = range;
  const common = { firstIndex: 0, start, end, repeats: false, isForward: true, seek, exact, seamAt: () => undefined };
  if (parts) {
    const frames = parts.flatMap((part) => Array.from({ length: part.end - part.start }, (_, i) => part.start + i));
    return { ...common, frameCount: frames.length, at: (index) => frames[index] ?? end - 1 };
  }
  return { ...common, frameCount: Math.ceil((end - start) / every), at: (index) => start + index * every };
}

function getTimelineOrder({ facts, timeline, outputs, withSeams = false }: TimelineFrameOptions): FrameOrder {
  const { windowStart, windowLength } = timeline;
  const at = (index: number): number => clipFrameAt(timeline, index);
  const seamAt = (index: number): number | undefined =>
    withSeams ? seamFrameAt(timeline, index)?.clipFrame : undefined;
  const repeats = withSeams && timeline.frameCount > windowLength;
  const whole = { start: windowStart, end: windowStart + windowLength };
  const { start: firstIndex, end: endIndex } = outputs ?? { start: 0, end: timeline.frameCount };
  const range = outputs ? usedRange({ start: firstIndex, end: endIndex }, { at, seamAt }) : whole;
  const frameCount = endIndex - firstIndex;
  const isForward = outputs !== undefined && readsForward(outputs, { at, seamAt });
  // Frames that are read once are counted, so that a missing one is noticed.
  const seek = isForward && range.start > 0 && canSeek(facts);
  return { firstIndex, frameCount, ...range, repeats, isForward, seek, exact: seek, at, seamAt };
}

/** The clip frames of some output frames and of their seams. */
function usedRange({ start, end }: FrameRange, { at, seamAt }: Pick<FrameOrder, 'at' | 'seamAt'>): FrameRange {
  let first = Infinity;
  let last = 0;
  for (let index = start; index < end; index += 1) {
    const own = at(index);
    const other = seamAt(index) ?? own;
    first = Math.min(first, own, other);
    last = Math.max(last, own, other);
  }
  return { start: first, end: last + 1 };
}

/** Whether the clip frames ascend and no seam shows another one. */
function readsForward({ start, end }: FrameRange, { at, seamAt }: Pick<FrameOrder, 'at' | 'seamAt'>): boolean {
  for (let index = start; index < end; index += 1) {
    if (seamAt(index) !== undefined) return false;
    if (index > start && at(index) < at(index - 1)) return false;
  }
  return true;
}

function chooseSource(
  options: RangeOptions | TimelineFrameOptions,
  { isForward }: FrameOrder,
  decoding: DecoderOptions,
): FrameSource {
  if ('range' in options || isForward || options.facts.kind === 'still') return new ForwardSource(decoding);
  const { timeline, workFolder, spillBytes = defaultSpillBytes } = options;
  const repeats = timeline.frameCount > timeline.windowLength && timeline.windowLength > 1;
  const spill = { ...decoding, workFolder, maxBytes: spillBytes };
  const fits = timeline.windowLength <= spillCapacity(spill);
  if (timeline.syncMode === 'loop' && repeats && fits) return new SpillSource(spill);
  if (timeline.syncMode === 'bounce' && repeats) return new SpillSource(spill);
  return new ForwardSource(decoding);
}
