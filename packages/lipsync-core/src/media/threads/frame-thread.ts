/** Entry of the thread that reads frames ahead. Started by `openFramesAhead`. */
import { parentPort, workerData } from 'node:worker_threads';
import { toError, toFailure } from '../../errors/carried-failure.ts';
import { openFrames } from '../picture/frame-reader.ts';
import type { FrameThreadData, FromFrameThread, ToFrameThread } from './media-threads.ts';

// `as`: only openFramesAhead starts this module, with this data.
const { options, readAhead } = workerData as FrameThreadData;
const stop = new AbortController();
let capacity = readAhead;
let wake = (): void => undefined;

parentPort?.on('message', (message: ToFrameThread) => {
  if (message.type === 'stop') stop.abort(message.reason ? toError(message.reason) : undefined);
  else capacity += 1;
  wake();
});

try {
  const frames = openFrames({ ...options, keepFrames: (options.keepFrames ?? 1) + readAhead, signal: stop.signal });
  for await (const frame of frames) {
    send({ type: 'frame', frame });
    capacity -= 1;
    while (capacity <= 0 && !stop.signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
  }
  send({ type: 'ended', statistics: frames.statistics });
} catch (error) {
  send(toFailure(error));
} finally {
  parentPort?.close();
}

function send(message: FromFrameThread): void {
  parentPort?.postMessage(message);
}
