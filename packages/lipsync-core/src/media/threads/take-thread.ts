/** Entry of the thread that feeds the encoder. Started by `openTakeAside`. */
import { parentPort, workerData } from 'node:worker_threads';
import { toFailure } from '../../errors/carried-failure.ts';
import { TakeEncoder, type TakeEncoderOptions } from '../takes/take-encoder.ts';
import type { FromTakeThread, ToTakeThread } from './media-threads.ts';

// `as`: only openTakeAside starts this module, with these options.
const take = new TakeEncoder(workerData as TakeEncoderOptions);
let last: Promise<void> = Promise.resolve();

parentPort?.on('message', (message: ToTakeThread) => {
  if (message.type === 'abort') void take.abort().finally(() => parentPort?.close());
  else last = last.then(() => answer(message));
});

async function answer(message: Exclude<ToTakeThread, { type: 'abort' }>): Promise<void> {
  try {
    await (message.type === 'frame' ? take.write(message.data) : take.finish());
    send({ type: 'done' });
  } catch (error) {
    send(toFailure(error));
  }
}

function send(message: FromTakeThread): void {
  parentPort?.postMessage(message);
}
