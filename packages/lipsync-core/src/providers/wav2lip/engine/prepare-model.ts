import { availableParallelism } from 'node:os';
import { LipsyncError } from '../../../errors/index.ts';
import { loadSession, type OnnxDevice } from '../../../inference/onnx-session.ts';
import { describeWav2LipModel } from '../model/model-facts.ts';
import { repairWav2LipModel, resolveWav2LipModel } from '../model/resolve-model.ts';
import { checkDrawing, drawTrialFace } from './compare-drawings.ts';
import type { ModelSource } from './engine-address.ts';
import { createFaceModel, type FaceModel } from './face-model.ts';
import { tryDevice } from './try-device.ts';

/**
 * Loads a model on a device and has it draw one face, so that a device which cannot is known at once; one that is not the
 * CPU has to draw the same face as the CPU. An imported model that was damaged since is imported once more. The caller
 * releases the model. Throws `not_supported` where another device may do better, else as `resolveWav2LipModel`,
 * `loadSession` and `describeWav2LipModel`.
 */
export async function prepareModel(source: ModelSource, device: OnnxDevice, signal: AbortSignal): Promise<FaceModel> {
  if (device.kind !== 'cpu') await tryDevice(device);
  const reference = { ...source, plain: device.kind !== 'cpu', signal };
  const path = await resolveWav2LipModel(reference);
  try {
    return await loadTried(path, device);
  } catch (error) {
    if (!(await repairWav2LipModel(reference, path))) throw error;
    return loadTried(path, device);
  }
}

async function loadTried(path: string, device: OnnxDevice): Promise<FaceModel> {
  const model = await loadModel(path, device);
  try {
    const drawn = await drawOneFace(model, device);
    if (device.kind !== 'cpu') checkDrawing(drawn, await drawOnCpu(path, device));
    return model;
  } catch (error) {
    await model.release();
    throw error;
  }
}

async function loadModel(path: string, device: OnnxDevice): Promise<FaceModel> {
  const session = await loadSession(path, { threads: availableParallelism(), device, spinning: false });
  try {
    return createFaceModel(session, describeWav2LipModel(session));
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function drawOneFace(model: FaceModel, device: OnnxDevice): Promise<Uint8Array> {
  try {
    return await drawTrialFace(model);
  } catch (cause) {
    // On the CPU there is nobody but the model to blame.
    if (device.kind === 'cpu')
      throw new LipsyncError('model_invalid', 'The model loads but cannot draw a face. Fetch or import it again.', {
        cause,
      });
    throw new LipsyncError('not_supported', `The model loads on ${device.kind} but cannot draw a face there.`, {
      cause,
    });
  }
}

/** What `device` has to draw, too. */
async function drawOnCpu(path: string, device: OnnxDevice): Promise<Uint8Array> {
  try {
    const reference = await loadModel(path, { kind: 'cpu' });
    const drawn = await drawTrialFace(reference);
    await reference.release();
    return drawn;
  } catch (cause) {
    throw new LipsyncError(
      'not_supported',
      `The model draws on ${device.kind} but not on the CPU, with which it has to be compared.`,
      { cause },
    );
  }
}
