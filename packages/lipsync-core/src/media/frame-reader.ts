import type { PixelFormat } from './decode-filter.ts';
import { frameBytesOf, type DecoderOptions } from './frame-decoder.ts';
import { FramePool, type FrameStatistics } from './frame-pool.ts';
import { ForwardSource, SpillSource, spillFrames, type FrameSource } from './frame-sources.ts';
import type { ClipFacts } from './media-types.ts';
import { clipFrameAt, type Timeline } from './timeline.ts';

/** Room on disk for going through a clip more than once; about a minute at 720p25. */
const defaultSpillBytes = 2 * 1024 ** 3;

interface CommonOptions {
  readonly path: string;
  readonly facts: ClipFacts;
  /** Size to deliver, even numbers; the clip's own by default. */
  readonly width?: number;
  readonly height?: number;
  /** `yuv420p` (default): planes Y, U, V one after the other, no padding. `rgb24`: three bytes per pixel. */
  readonly pixelFormat?: PixelFormat;
  /** How many delivered frames stay valid at once; 1 by default. */
  readonly keepFrames?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface RangeOptions extends CommonOptions {
  /** Clip frames in order, end exclusive. */
  readonly range: { readonly start: number; readonly end: number };
}

export interface TimelineFrameOptions extends CommonOptions {
  readonly timeline: Timeline;
  /** Folder for a temporary file when the timeline goes through the clip more than once. */
  readonly workFolder: string;
  readonly spillBytes?: number;
}

export interface Frame {
  /** Counts what is delivered, from 0; with a timeline, the output frame. */
  readonly index: number;
  readonly clipFrame: number;
  readonly width: number;
  readonly height: number;
  /** The caller may draw into it, and must be done with it when it asks for the frame after the next `keepFrames − 1`. */
  readonly data: Uint8Array;
}

/** Frames to be looped over once. Leaving the loop, by whatever way, ends ffmpeg and removes temporary files. */
export interface FrameStream extends AsyncIterable<Frame> {
  readonly statistics: Readonly<FrameStatistics>;
}

/**
 * Decodes a clip into upright frames at its constant rate: a range of it, or everything in the order of a timeline.
 * Exactly as many frames come as asked for; where the clip turns out shorter, its last picture is repeated.
 *
 * Ownership: buffers are the reader's and are used again. A frame belongs to the caller, to read and to draw into, until
 * `keepFrames` more have been asked for. Memory is bounded by `keepFrames` plus a few frames of read-ahead.
 *
 * Iterating throws `clip_unusable` when nothing can be decoded, `media_failed`, or the abort's error.
 */
export function openFrames(options: RangeOptions | TimelineFrameOptions): FrameStream {
  const statistics: FrameStatistics = { bytesCopied: 0, framesDecoded: 0, buffersAllocated: 0 };
  return { statistics, [Symbol.asyncIterator]: () => deliver(options, statistics) };
}

/** Which clip frame is shown at each index, and over which range they lie. */
interface Order {
  readonly frameCount: number;
  readonly start: number;
  readonly end: number;
  at(index: number): number;
}

async function* deliver(
  options: RangeOptions | TimelineFrameOptions,
  statistics: FrameStatistics,
): AsyncGenerator<Frame> {
  const { facts } = options;
  const { width = facts.width, height = facts.height, pixelFormat = 'yuv420p', keepFrames = 1 } = options;
  const order = orderOf(options);
  const shape = { width, height, pixelFormat, start: order.start, end: order.end };
  const pool = new FramePool(frameBytesOf(shape), statistics);
  const { path, signal } = options;
  const source = chooseSource(options, { path, facts, shape, pool, statistics, signal });
  const delivered: Uint8Array[] = [];
  try {
    for (let index = 0; index < order.frameCount; index += 1) {
      const clipFrame = order.at(index);
      const again = index + 1 < order.frameCount && order.at(index + 1) === clipFrame;
      const data = await source.take(clipFrame, again);
      delivered.push(data);
      yield { index, clipFrame, width, height, data };
      if (delivered.length >= keepFrames) pool.release(delivered.shift() ?? data);
    }
  } finally {
    await source.close();
  }
}

function orderOf(options: RangeOptions | TimelineFrameOptions): Order {
  if ('range' in options) {
    const { start, end } = options.range;
    return { frameCount: end - start, start, end, at: (index) => start + index };
  }
  const { timeline } = options;
  const { windowStart: start, windowLength } = timeline;
  return {
    frameCount: timeline.frameCount,
    start,
    end: start + windowLength,
    at: (index) => clipFrameAt(timeline, index),
  };
}

function chooseSource(options: RangeOptions | TimelineFrameOptions, decoding: DecoderOptions): FrameSource {
  if ('range' in options || options.facts.kind === 'still') return new ForwardSource(decoding);
  const { timeline, workFolder, spillBytes = defaultSpillBytes } = options;
  const comesBack = timeline.frameCount > timeline.windowLength && timeline.windowLength > 1;
  const spill = { ...decoding, workFolder, maxBytes: spillBytes };
  const fits = timeline.windowLength <= spillFrames(spill);
  if (timeline.syncMode === 'loop' && comesBack && fits) return new SpillSource(spill);
  if (timeline.syncMode === 'bounce' && comesBack) return new SpillSource(spill);
  return new ForwardSource(decoding);
}
