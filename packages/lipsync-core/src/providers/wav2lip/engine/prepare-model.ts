import { LipsyncError } from '../../../errors/index.ts';
import { repairModel, resolveModel } from '../../../inference/models/resolve-model.ts';
import { readModelRecord, type ModelRecord } from '../../../inference/models/model-record.ts';
import { loadSession, saturatesEightBitProducts, type OnnxDevice } from '../../../inference/onnx-session.ts';
import { encodeOnnxModel } from '../../../inference/onnx-writer.ts';
import { countModelThreads } from '../../../processes/cpu-share.ts';
import { melChunkLength } from '../mel-chunks.ts';
import { describeWav2LipModel } from '../model/model-facts.ts';
import { wav2lipKind } from '../model/network-kind.ts';
import { startRows } from '../model/start-rows.ts';
import { testMelValue, testPixelValue } from '../model/try-model.ts';
import type { ModelSource } from './engine-address.ts';
import { faceBytes } from './engine-protocol.ts';
import { FaceModel } from './face-model.ts';

/** Mean difference of two drawings in 8-bit levels. Half-precision rounding stays well below. */
const maxMeanDifference = 2;

/** One convolution: the main operation of Wav2Lip, for which GPUs use separate libraries. */
const deviceTestGraph = {
  name: 'device_test',
  inputs: [{ name: 'picture', dims: [1, 1, 3, 3] }],
  outputs: [{ name: 'sum' }],
  constants: [{ name: 'kernel', dims: [1, 1, 3, 3], data: new Float32Array(9).fill(1) }],
  nodes: [{ operator: 'Conv', inputs: ['picture', 'kernel'], output: 'sum' }],
};

/**
 * Loads a model on a device and draws one test face, which a device other than the CPU must draw like the CPU does. An
 * imported model that has been damaged is imported once more. The caller releases the model. Throws `not_supported`
 * when another device may work, else like `resolveModel`, `loadSession` and `describeWav2LipModel`.
 */
export async function prepareModel(source: ModelSource, device: OnnxDevice, signal: AbortSignal): Promise<FaceModel> {
  if (device.kind !== 'cpu') await testDevice(device);
  const reference = { ...source, kind: wav2lipKind, plain: device.kind !== 'cpu', signal };
  const path = await resolveModel(reference);
  // A GPU leaves eight-bit products to the CPU.
  await requireExactProducts(await readModelRecord(path));
  try {
    return await loadTestedModel(path, device);
  } catch (error) {
    if (!(await repairModel(reference, path))) throw error;
    return loadTestedModel(path, device);
  }
}

/**
 * Throws `model_invalid` for an eight-bit model whose products this processor saturates: it would draw noise. Such a
 * model was imported on another machine.
 */
export async function requireExactProducts(
  record: Pick<ModelRecord, 'quantization'> | null,
  saturates: () => Promise<boolean> = saturatesEightBitProducts,
): Promise<void> {
  if (record?.quantization?.largest_weight !== 127 || !(await saturates())) return;
  throw new LipsyncError(
    'model_invalid',
    'This processor has no VNNI instructions and would compute the eight-bit model wrongly. Import the checkpoint again on this machine.',
  );
}

/** Draws a synthetic face that is the same every time. Throws the errors of `FaceModel.draw`. */
async function drawTestFace(model: FaceModel, startRow = 0): Promise<Uint8Array> {
  const faces = Uint8Array.from(
    { length: faceBytes(model.facts.cropSizePx) },
    (_, index) => 255 * testPixelValue(index),
  );
  const mel = Float32Array.from({ length: melChunkLength }, (_, index) => testMelValue(index));
  return (await model.draw({ count: 1, mel, faces, references: faces, startRow }, 1)).faces;
}

/**
 * What devices are compared by: a test face, and the same once more from the last start row on if the model has any,
 * because most faces of a job are drawn so.
 */
export async function drawComparedFaces(model: FaceModel): Promise<Uint8Array> {
  const whole = await drawTestFace(model);
  if (model.facts.startRowInput === null) return whole;
  return Buffer.concat([whole, await drawTestFace(model, startRows.at(-1))]);
}

/** Throws `not_supported` when the drawing of a device differs from that of the CPU by more than rounding explains. */
export function requireSameDrawing(drawn: Uint8Array, expected: Uint8Array): void {
  const difference =
    expected.reduce((sum, value, index) => sum + Math.abs(value - (drawn[index] ?? Number.NaN)), 0) / expected.length;
  if (difference <= maxMeanDifference) return;
  throw new LipsyncError(
    'not_supported',
    `Its drawing of a test face differs from that of the CPU by ${difference.toFixed(1)} of 255 levels on average. Update its driver, or import the model for GPUs (models import --for gpu).`,
  );
}

/**
 * Runs a tiny graph, which detects an unusable device before a model is read or imported for it; an import takes up to
 * a minute. Throws `not_supported`.
 */
async function testDevice(device: OnnxDevice): Promise<void> {
  const session = await loadSession(encodeOnnxModel(deviceTestGraph), { threads: 1, device, spinning: false });
  try {
    await session.run({ picture: { type: 'float32', dims: [1, 1, 3, 3], data: new Float32Array(9).fill(1) } });
  } catch (cause) {
    throw new LipsyncError(
      'not_supported',
      `${device.kind} cannot be used on this machine: it loads a graph but fails to run it.`,
      { cause },
    );
  } finally {
    await session.release();
  }
}

async function loadTestedModel(path: string, device: OnnxDevice): Promise<FaceModel> {
  const model = await loadModel(path, device);
  try {
    const drawn = await drawOnDevice(model, device);
    if (device.kind !== 'cpu') requireSameDrawing(drawn, await drawOnCpu(path, device));
    return model;
  } catch (error) {
    await model.release();
    throw error;
  }
}

async function loadModel(path: string, device: OnnxDevice): Promise<FaceModel> {
  const session = await loadSession(path, { threads: await countModelThreads(), device, spinning: false });
  try {
    return new FaceModel(session, describeWav2LipModel(session));
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function drawOnDevice(model: FaceModel, device: OnnxDevice): Promise<Uint8Array> {
  try {
    return await (device.kind === 'cpu' ? drawTestFace(model) : drawComparedFaces(model));
  } catch (cause) {
    // On the CPU only the model can be at fault.
    if (device.kind === 'cpu')
      throw new LipsyncError('model_invalid', 'The model loads but cannot draw a face. Fetch or import it again.', {
        cause,
      });
    throw new LipsyncError('not_supported', `The model loads on ${device.kind} but cannot draw a face there.`, {
      cause,
    });
  }
}

/** The reference drawing for `device`. */
async function drawOnCpu(path: string, device: OnnxDevice): Promise<Uint8Array> {
  try {
    const reference = await loadModel(path, { kind: 'cpu' });
    const drawn = await drawComparedFaces(reference);
    await reference.release();
    return drawn;
  } catch (cause) {
    throw new LipsyncError(
      'not_supported',
      `The model draws on ${device.kind} but not on the CPU, so its drawing cannot be verified.`,
      { cause },
    );
  }
}
