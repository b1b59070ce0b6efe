import { LipsyncError } from '../../../errors/index.ts';
import { loadSession, type OnnxDevice } from '../../../inference/onnx-session.ts';
import { encodeOnnxModel } from '../../../inference/onnx-writer.ts';

/** One convolution, which is what a Wav2Lip model is made of and what GPUs have libraries of their own for. */
const graph = {
  name: 'try_device',
  inputs: [{ name: 'picture', dims: [1, 1, 3, 3] }],
  outputs: [{ name: 'sum' }],
  constants: [{ name: 'kernel', dims: [1, 1, 3, 3], data: new Float32Array(9).fill(1) }],
  nodes: [{ operator: 'Conv', inputs: ['picture', 'kernel'], output: 'sum' }],
};

/**
 * Runs a tiny graph on a device, which tells one that cannot be used before a model is read or imported for it, which can
 * take a minute. Throws `not_supported`.
 */
export async function tryDevice(device: OnnxDevice): Promise<void> {
  const session = await loadSession(encodeOnnxModel(graph), { threads: 1, device, spinning: false });
  try {
    await session.run({ picture: { type: 'float32', dims: [1, 1, 3, 3], data: new Float32Array(9).fill(1) } });
  } catch (cause) {
    throw new LipsyncError(
      'not_supported',
      `${device.kind} cannot be used here: it takes a graph but does not run it.`,
      { cause },
    );
  } finally {
    await session.release();
  }
}
