import type { FrameStatistics } from '../frame-pool.ts';
import type { Frame, FrameStream, RangeOptions, TimelineFrameOptions } from '../frame-reader.ts';
import type { FrameThreadData } from './frame-thread.ts';
import { startThread } from './thread-link.ts';
import type { FromFrameThread, ToFrameThread } from './thread-messages.ts';

/** Frames that are read while earlier ones are worked on. */
const readAhead = 4;

/**
 * As `openFrames`, read in a thread of its own: a pipe holds a small part of a frame, so that ffmpeg stands still
 * whenever nobody reads, and whoever computes in this thread does not read. Pixels are shared memory; nothing is copied.
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
  const thread = startThread<ToFrameThread, FromFrameThread>('frame-thread', data, signal);
  const stop = (): void => thread.send({ type: 'stop' });
  signal?.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      const message = await thread.receive();
      if (message.type === 'ended') {
        Object.assign(statistics, message.statistics);
        return;
      }
      yield message.frame;
      thread.send({ type: 'more' });
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
    await thread.ended;
  }
}
