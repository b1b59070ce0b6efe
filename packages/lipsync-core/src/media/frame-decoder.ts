import { LipsyncError } from '../errors/index.ts';
import { decodeFilter, rawPixelFormat, skippingMs, type DecodeShape } from './decode-filter.ts';
import { MediaProcess } from './ffmpeg-process.ts';
import type { FramePool, FrameStatistics } from './frame-pool.ts';
import { clipDemuxer, inputArguments } from './media-input.ts';
import type { ClipFacts } from './media-types.ts';
import { openOutputPipe, type OutputPipe } from './output-pipe.ts';

/** Frames read ahead, so that ffmpeg decodes while the caller draws. */
const readAheadFrames = 3;

export interface DecoderOptions {
  readonly path: string;
  readonly facts: ClipFacts;
  readonly shape: DecodeShape;
  readonly pool: FramePool;
  readonly statistics: FrameStatistics;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One run of ffmpeg over a range of a clip: whole frames in order, read ahead a little, the pipe paused when nobody
 * takes them. Whoever makes one calls `stop`.
 */
export class FrameDecoder {
  readonly #process: MediaProcess;
  readonly #pipe: OutputPipe;
  readonly #pool: FramePool;
  readonly #statistics: FrameStatistics;
  readonly #frameBytes: number;
  readonly #ready: Uint8Array[] = [];
  #filling: Uint8Array | undefined;
  #filled = 0;
  #finished = false;
  /** Allowed on top of the idle limit while frames before the range are passed over. */
  #skippingMs: number;
  #wake: () => void = () => undefined;

  private constructor(options: DecoderOptions, pipe: OutputPipe) {
    this.#pool = options.pool;
    this.#statistics = options.statistics;
    this.#frameBytes = frameBytesOf(options.shape);
    this.#skippingMs = skippingMs(options.facts, options.shape.start);
    this.#pipe = pipe;
    pipe.onBytes((bytes) => this.#accept(bytes));
    pipe.onEnd(() => {
      this.#finished = true;
      this.#wake();
    });
    this.#process = new MediaProcess({
      output: pipe.theirs,
      tool: 'ffmpeg',
      arguments: decodeArguments(options),
      background: true,
      signal: options.signal,
    });
  }

  /** Starts decoding. Throws the abort's error, and what the system throws when it cannot open a pipe. */
  static async open(options: DecoderOptions): Promise<FrameDecoder> {
    const pipe = await openOutputPipe();
    try {
      return new FrameDecoder(options, pipe);
    } catch (error) {
      pipe.close();
      throw error;
    }
  }

  /** The next frame, which becomes the caller's; undefined after the last. Throws `media_failed` or the abort's error. */
  async next(): Promise<Uint8Array | undefined> {
    if (!(await this.hasNext())) return undefined;
    const frame = this.#ready.shift();
    if (this.#ready.length < readAheadFrames) this.#pipe.resume();
    return frame;
  }

  /** Whether there is another frame; waits until that is known. Throws like `next`. */
  async hasNext(): Promise<boolean> {
    while (this.#ready.length === 0) {
      if (this.#finished) {
        await this.#process.within(this.#process.ended);
        return false;
      }
      await this.#process.within(this.#changed(), this.#skippingMs);
    }
    this.#skippingMs = 0;
    return true;
  }

  async stop(): Promise<void> {
    await this.#process.stop();
    this.#pipe.close();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** False when enough was read ahead. */
  #accept(bytes: Uint8Array): boolean {
    let offset = 0;
    while (offset < bytes.length) {
      this.#filling ??= this.#pool.acquire();
      const part = bytes.subarray(offset, offset + this.#frameBytes - this.#filled);
      this.#filling.set(part, this.#filled);
      this.#statistics.bytesCopied += part.length;
      this.#filled += part.length;
      offset += part.length;
      if (this.#filled === this.#frameBytes) this.#complete(this.#filling);
    }
    return this.#ready.length < readAheadFrames;
  }

  #complete(frame: Uint8Array): void {
    this.#ready.push(frame);
    this.#filling = undefined;
    this.#filled = 0;
    this.#statistics.framesDecoded += 1;
    this.#wake();
  }
}

/** Bytes of one frame: planar 4:2:0 or packed RGB. */
export function frameBytesOf({
  width,
  height,
  pixelFormat,
}: Pick<DecodeShape, 'width' | 'height' | 'pixelFormat'>): number {
  if (width % 2 !== 0 || height % 2 !== 0) throw new LipsyncError('internal', 'Frames have even sizes.');
  return pixelFormat === 'rgb24' ? width * height * 3 : (width * height * 3) / 2;
}

function decodeArguments({ path, facts, shape }: DecoderOptions): readonly string[] {
  return [
    ...(facts.kind === 'still' ? ['-noautorotate'] : []),
    ...inputArguments(path, clipDemuxer(facts)),
    '-map',
    '0:V:0',
    '-an',
    '-sn',
    '-dn',
    '-vf',
    decodeFilter(facts, shape),
    '-frames:v',
    String(shape.end - shape.start),
    '-fps_mode',
    'passthrough',
    '-pix_fmt',
    shape.pixelFormat === 'rgb24' ? 'rgb24' : rawPixelFormat(facts.color),
    '-f',
    'rawvideo',
    'pipe:1',
  ];
}
