/** Entry of the thread that owns an engine's model: a run of the model blocks it. Started by `startModelThread` only. */
import { parentPort, workerData } from 'node:worker_threads';
import { toFailure } from '../../../errors/carried-failure.ts';
import type { OnnxDevice } from '../../../inference/onnx-session.ts';
import { melChunkLength } from '../features/index.ts';
import type { ModelSource } from './engine-address.ts';
import type { FromModelThread, ToModelThread } from './engine-messages.ts';
import { faceBytes } from './engine-protocol.ts';
import type { FaceBatch, FaceModel } from './face-model.ts';
import { prepareModel } from './prepare-model.ts';

export interface ModelThreadData {
  readonly source: ModelSource;
  readonly device: OnnxDevice;
}

// Only startModelThread starts this file, with this data.
const { source, device } = workerData as ModelThreadData;

try {
  // Nothing can abort this: an engine that is not wanted any more is killed.
  const model = await prepareModel(source, device, new AbortController().signal);
  serve(model);
  say({ type: 'ready', cropSizePx: model.facts.cropSizePx, fixedBatch: model.facts.fixedBatch });
} catch (error) {
  say(toFailure(error));
}

function serve(model: FaceModel): void {
  let last: Promise<void> = Promise.resolve();
  parentPort?.on('message', (message: ToModelThread) => {
    last = last.then(() => answer(model, message));
  });
}

async function answer(model: FaceModel, message: ToModelThread): Promise<void> {
  try {
    const { faces, reducedTo } = await model.draw(batchOf(message, model.facts.cropSizePx), message.largestBatch);
    say({ type: 'drawn', faces, reducedTo }, [faces.buffer]);
  } catch (error) {
    say(toFailure(error));
  }
}

/** The parts of a payload, which begins on a boundary of its own buffer. */
function batchOf({ count, payload }: ToModelThread, cropSizePx: number): FaceBatch {
  const mel = new Float32Array(payload.buffer, payload.byteOffset, count * melChunkLength);
  const faces = payload.subarray(mel.byteLength, mel.byteLength + count * faceBytes(cropSizePx));
  const rest = payload.subarray(mel.byteLength + faces.byteLength);
  return { count, mel, faces, references: rest.length === 0 ? faces : rest };
}

function say(message: FromModelThread, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
