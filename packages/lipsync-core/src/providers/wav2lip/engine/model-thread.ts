/** Entry of the thread that owns the model of an engine, which blocks while it runs. Started by `openModelQueue`. */
import { parentPort, workerData } from 'node:worker_threads';
import { toFailure } from '../../../errors/carried-failure.ts';
import { melChunkLength } from '../mel-chunks.ts';
import { faceBytes } from './engine-protocol.ts';
import type { FaceBatch, FaceModel } from './face-model.ts';
import type { FromModelThread, ModelThreadData, ToModelThread } from './model-queue.ts';
import { prepareModel } from './prepare-model.ts';

// `as`: only openModelQueue starts this module, with this data.
const { source, device } = workerData as ModelThreadData;

try {
  // Loading is never aborted: an engine that is no longer needed is killed.
  const model = await prepareModel(source, device, new AbortController().signal);
  serve(model);
  send({ type: 'ready', cropSizePx: model.facts.cropSizePx, fixedBatch: model.facts.fixedBatch });
} catch (error) {
  send(toFailure(error));
}

function serve(model: FaceModel): void {
  let last: Promise<void> = Promise.resolve();
  parentPort?.on('message', (message: ToModelThread) => {
    last = last.then(() => answer(model, message));
  });
}

async function answer(model: FaceModel, message: ToModelThread): Promise<void> {
  try {
    const { faces, reducedTo } = await model.draw(toBatch(message, model.facts.cropSizePx), message.largestBatch);
    send({ type: 'drawn', faces, reducedTo }, [faces.buffer]);
  } catch (error) {
    send(toFailure(error));
  }
}

/** Views of the parts of a payload, whose buffer is aligned for 32-bit floats. */
function toBatch({ count, payload, startRow }: ToModelThread, cropSizePx: number): FaceBatch {
  const mel = new Float32Array(payload.buffer, payload.byteOffset, count * melChunkLength);
  const faces = payload.subarray(mel.byteLength, mel.byteLength + count * faceBytes(cropSizePx));
  const rest = payload.subarray(mel.byteLength + faces.byteLength);
  return { count, mel, faces, references: rest.length === 0 ? faces : rest, startRow };
}

function send(message: FromModelThread, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
