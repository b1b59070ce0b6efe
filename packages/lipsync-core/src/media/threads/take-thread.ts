/** Entry of the thread that feeds the encoder. Started by `openTakeAside` only. */
import { parentPort, workerData } from 'node:worker_threads';
import { toFailure } from '../../errors/carried-failure.ts';
import { openTake, type TakeOptions, type TakeWriter } from '../take-writer.ts';
import type { FromTakeThread, ToTakeThread } from './thread-messages.ts';

// Only openTakeAside starts this file, with these options.
const take = openTake(workerData as TakeOptions);
let last: Promise<void> = Promise.resolve();

parentPort?.on('message', (message: ToTakeThread) => {
  if (message.type === 'abort') void take.abort().finally(() => parentPort?.close());
  else
    last = last
      .then(() => work(take, message))
      .then(
        () => say({ type: 'done' }),
        (error: unknown) => say(toFailure(error)),
      );
});

function work({ write, finish }: TakeWriter, message: Exclude<ToTakeThread, { type: 'abort' }>): Promise<void> {
  return message.type === 'frame' ? write(message.data) : finish();
}

function say(message: FromTakeThread): void {
  parentPort?.postMessage(message);
}
