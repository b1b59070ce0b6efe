/** Entry of the thread that reads frames ahead of whoever works on them. Started by `openFramesAhead` only. */
import { parentPort, workerData } from 'node:worker_threads';
import { toFailure } from '../../errors/carried-failure.ts';
import { openFrames, type RangeOptions, type TimelineFrameOptions } from '../frame-reader.ts';
import type { FromFrameThread, ToFrameThread } from './thread-messages.ts';

export interface FrameThreadData {
  readonly options: RangeOptions | TimelineFrameOptions;
  readonly readAhead: number;
}

// Only openFramesAhead starts this file, with this data.
const { options, readAhead } = workerData as FrameThreadData;
const stop = new AbortController();
let room = readAhead;
let wake = (): void => undefined;

parentPort?.on('message', (message: ToFrameThread) => {
  if (message.type === 'stop') stop.abort();
  else room += 1;
  wake();
});

try {
  const frames = openFrames({ ...options, keepFrames: (options.keepFrames ?? 1) + readAhead, signal: stop.signal });
  for await (const frame of frames) {
    say({ type: 'frame', frame });
    room -= 1;
    while (room <= 0 && !stop.signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
  }
  say({ type: 'ended', statistics: frames.statistics });
} catch (error) {
  say(toFailure(error));
} finally {
  parentPort?.close();
}

function say(message: FromFrameThread): void {
  parentPort?.postMessage(message);
}
