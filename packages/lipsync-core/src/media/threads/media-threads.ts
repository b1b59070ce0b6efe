import { toFailure, type CarriedFailure } from '../../errors/carried-failure.ts';
import { abortError } from '../../errors/index.ts';
import { resolveEntry } from '../../processes/entry.ts';
import { ThreadLink } from '../../processes/thread-link.ts';
import type { FrameStatistics } from '../picture/frame-decoder.ts';
import type { Frame, FrameStream, RangeOptions, TimelineFrameOptions } from '../picture/frame-reader.ts';
import type { TakeEncoderOptions, TakeOptions } from '../takes/take-encoder.ts';
import { completeTake, partPathOf, type TakeWriter } from '../takes/take-writer.ts';

/** Messages to the reading thread: capacity for one more frame, or the reason to stop. */
export type ToFrameThread =
  | { readonly type: 'more' }
  | { readonly type: 'stop'; readonly reason: CarriedFailure | null };

/** Messages from the reading thread. The pixels of a frame are in shared memory and are not copied. */
export type FromFrameThread =
  | { readonly type: 'frame'; readonly frame: Frame }
  | { readonly type: 'ended'; readonly statistics: FrameStatistics }
  | CarriedFailure;

/** Messages to the writing thread, which answers `frame` and `finish` once each, in order. */
export type ToTakeThread =
  | { readonly type: 'frame'; readonly data: Uint8Array }
  | { readonly type: 'finish' }
  | { readonly type: 'abort' };

export type FromTakeThread = { readonly type: 'done' } | CarriedFailure;

export interface FrameThreadData {
  readonly options: RangeOptions | TimelineFrameOptions;
  readonly readAhead: number;
}

/** Frames to read ahead while earlier ones are processed. */
const readAhead = 4;

/**
 * Like `openFrames`, but reads in a separate thread: a pipe buffers only a fraction of a frame, so ffmpeg would stall
 * while this thread computes. Pixels are in shared memory and are not copied.
 */
export function openFramesAhead(options: RangeOptions | TimelineFrameOptions): FrameStream {
  const statistics: FrameStatistics = { bytesCopied: 0, framesDecoded: 0, buffersAllocated: 0 };
  return { statistics, [Symbol.asyncIterator]: () => deliver(options, statistics) };
}

async function* deliver(
  { signal, ...options }: RangeOptions | TimelineFrameOptions,
  statistics: FrameStatistics,
): AsyncGenerator<Frame> {
  const data: FrameThreadData = { options, readAhead };
  const entry = resolveEntry('./frame-thread', import.meta.url);
  const thread = new ThreadLink<ToFrameThread, FromFrameThread>(entry, data, signal);
  const stop = (): void =>
    thread.send({ type: 'stop', reason: signal?.aborted ? toFailure(abortError(signal)) : null });
  signal?.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      const message = await thread.receive();
      if (message.type === 'ended') {
        Object.assign(statistics, message.statistics);
        return;
      }
      yield message.frame;
      // The frames that were read ahead may be all that are left.
      if (signal?.aborted) throw abortError(signal);
      thread.send({ type: 'more' });
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
    await thread.ended;
  }
}

/**
 * Like `openTake`, but feeds the encoder from a separate thread, so that it receives frames while this thread computes.
 * Frames should be in shared memory like those of `openFramesAhead`; others are copied. Several writes may be pending.
 */
export function openTakeAside(options: TakeOptions): TakeWriter {
  return new ThreadedTakeWriter(options);
}

class ThreadedTakeWriter implements TakeWriter {
  readonly #thread: ThreadLink<ToTakeThread, FromTakeThread>;
  readonly #options: TakeOptions;
  readonly #partPath: string;
  readonly #onAbort = (): void => this.#thread.send({ type: 'abort' });
  #lastAnswer: Promise<unknown> = Promise.resolve();

  constructor(options: TakeOptions) {
    const { signal, ...encoding } = options;
    this.#options = options;
    this.#partPath = partPathOf(options);
    const data: TakeEncoderOptions = { ...encoding, partPath: this.#partPath };
    this.#thread = new ThreadLink(resolveEntry('./take-thread', import.meta.url), data, signal);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  write(data: Uint8Array): Promise<void> {
    return this.#request({ type: 'frame', data });
  }

  async finish(): Promise<void> {
    await this.#request({ type: 'finish' });
    await completeTake(this.#partPath, this.#options);
  }

  async abort(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#thread.send({ type: 'abort' });
    await this.#thread.ended;
  }

  /** Answers arrive in the order of the requests. */
  #request(message: ToTakeThread): Promise<void> {
    this.#thread.send(message);
    const answer = this.#lastAnswer.then(async () => void (await this.#thread.receive()));
    this.#lastAnswer = answer.catch(() => undefined);
    return answer;
  }
}
