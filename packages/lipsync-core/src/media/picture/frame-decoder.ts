import { LipsyncError } from '../../errors/index.ts';
import { clipInputArguments, decodeFilter, getSkipTimeMs, rawPixelFormat, type DecodeShape } from './decode-filter.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import { clipDemuxer, inputArguments } from '../ffmpeg-arguments.ts';
import type { ClipFacts } from '../media-types.ts';
import { openOutputPipe, type OutputPipe, type OutputTarget } from './output-pipe.ts';

/** Frames to read ahead, so that ffmpeg decodes while the caller draws. */
const readAheadFrames = 3;

/** Counters of a reader, for benchmarks. */
export interface FrameStatistics {
  /** Bytes copied between buffers of this process. */
  bytesCopied: number;
  framesDecoded: number;
  /** Allocated frame buffers, which bound the memory of the reader. */
  buffersAllocated: number;
}

/** Reusable buffers of one frame each, allocated on demand. */
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
    // Shared memory, so that a frame can be passed to another thread without a copy.
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

export interface DecoderOptions {
  readonly path: string;
  readonly facts: ClipFacts;
  readonly shape: DecodeShape;
  readonly pool: FramePool;
  readonly statistics: FrameStatistics;
  readonly signal?: AbortSignal | undefined;
}

/** Assembles frames from the output of ffmpeg, which is read straight into their memory. */
class FrameAssembler implements OutputTarget {
  readonly #pool: FramePool;
  readonly #statistics: FrameStatistics;
  readonly #frameBytes: number;
  readonly #ready: Uint8Array[] = [];
  #filling: Uint8Array | undefined;
  #filled = 0;
  #hasEnded = false;
  #wake: () => void = () => undefined;

  constructor({ pool, statistics, shape }: DecoderOptions) {
    this.#pool = pool;
    this.#statistics = statistics;
    this.#frameBytes = frameBytesOf(shape);
  }

  /** Complete frames that `take` has not returned. */
  get readyCount(): number {
    return this.#ready.length;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  space(): Uint8Array {
    this.#filling ??= this.#pool.acquire();
    return this.#filling.subarray(this.#filled);
  }

  fill(length: number): boolean {
    this.#filled += length;
    if (this.#filling && this.#filled === this.#frameBytes) this.#complete(this.#filling);
    return this.#ready.length < readAheadFrames;
  }

  /** Returns the oldest frame, which the caller then owns. */
  take(): Uint8Array | undefined {
    return this.#ready.shift();
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  /** Resolves when a frame is complete or the output has ended. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #complete(frame: Uint8Array): void {
    this.#ready.push(frame);
    this.#filling = undefined;
    this.#filled = 0;
    this.#statistics.framesDecoded += 1;
    this.#wake();
  }
}

/**
 * One run of ffmpeg over a range of a clip: complete frames in order, with a short read-ahead and a pipe that pauses
 * when the caller is slower. The caller calls `stop`.
 */
export class FrameDecoder {
  readonly #process: MediaProcess;
  readonly #pipe: OutputPipe;
  readonly #frames: FrameAssembler;
  /** Added to the idle limit while ffmpeg skips the frames before the range, or before each of its parts. */
  #skipTimeMs: number;
  readonly #skipsOnce: boolean;

  private constructor(options: DecoderOptions, frames: FrameAssembler, pipe: OutputPipe) {
    const { start, end, parts } = options.shape;
    this.#skipsOnce = parts === undefined;
    this.#skipTimeMs = getSkipTimeMs(options.facts, parts ? end : start);
    this.#frames = frames;
    this.#pipe = pipe;
    pipe.onEnd(() => frames.end());
    this.#process = new MediaProcess({
      output: pipe.writeEnd,
      tool: 'ffmpeg',
      arguments: decodeArguments(options),
      background: true,
      signal: options.signal,
    });
  }

  /** Starts decoding. Throws the abort error, and the system error when no pipe can be opened. */
  static async open(options: DecoderOptions): Promise<FrameDecoder> {
    const frames = new FrameAssembler(options);
    const pipe = await openOutputPipe(frames);
    try {
      return new FrameDecoder(options, frames, pipe);
    } catch (error) {
      pipe.close();
      throw error;
    }
  }

  /**
   * Returns the next frame, which the caller then owns; undefined after the last. Throws `media_failed` or the abort
   * error.
   */
  async next(): Promise<Uint8Array | undefined> {
    if (!(await this.hasNext())) return undefined;
    const frame = this.#frames.take();
    if (this.#frames.readyCount < readAheadFrames) this.#pipe.resume();
    return frame;
  }

  /** Waits until another frame is decoded or the output has ended. Throws the errors of `next`. */
  async hasNext(): Promise<boolean> {
    while (this.#frames.readyCount === 0) {
      if (this.#frames.hasEnded) {
        await this.#process.within(this.#process.ended);
        return false;
      }
      await this.#process.within(this.#frames.changed(), this.#skipTimeMs);
    }
    if (this.#skipsOnce) this.#skipTimeMs = 0;
    return true;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
    this.#pipe.close();
  }
}

/** Bytes of one frame: planar 4:2:0 or packed RGB. */
export function frameBytesOf({
  width,
  height,
  pixelFormat,
}: Pick<DecodeShape, 'width' | 'height' | 'pixelFormat'>): number {
  if (width % 2 !== 0 || height % 2 !== 0)
    throw new LipsyncError('internal', `Frames must have even dimensions, not ${width} × ${height}.`);
  return pixelFormat === 'rgb24' ? width * height * 3 : (width * height * 3) / 2;
}

function countFrames({ start, end, every = 1, parts }: DecodeShape): number {
  if (!parts) return Math.ceil((end - start) / every);
  return parts.reduce((sum, part) => sum + part.end - part.start, 0);
}

function decodeArguments({ path, facts, shape }: DecoderOptions): readonly string[] {
  return [
    ...clipInputArguments(facts, shape),
    ...inputArguments(path, clipDemuxer(facts)),
    '-map',
    '0:V:0',
    '-an',
    '-sn',
    '-dn',
    '-vf',
    decodeFilter(facts, shape),
    '-frames:v',
    String(countFrames(shape)),
    '-fps_mode',
    'passthrough',
    '-pix_fmt',
    shape.pixelFormat === 'rgb24' ? 'rgb24' : rawPixelFormat(facts.color),
    '-f',
    'rawvideo',
    // Frames are written whole; the usual buffer copies them in parts of 32 KiB.
    '-avioflags',
    'direct',
    'pipe:1',
  ];
}
