import { mfccCount } from '../../audio/mfcc.ts';
import { LipsyncError } from '../../errors/index.ts';
import type { NetworkPorts, NetworkTrial } from '../../inference/models/network-kind.ts';
import type { OnnxTensor, PortInfo } from '../../inference/onnx-session.ts';
import {
  audioOutputName,
  embeddingLength,
  framesInputName,
  frameSidePx,
  lipOutputName,
  mfccInputName,
  windowFrames,
  windowMfccRows,
} from './syncnet-network.ts';

const framesShape = [3 * windowFrames, frameSidePx, frameSidePx];
const mfccShape = [1, mfccCount, windowMfccRows];

/** Runs SyncNet models once. */
export const networkTrial: NetworkTrial = {
  matches: ({ inputs }) => inputs.some((port) => hasShape(port, framesInputName, framesShape)),
  async run(session) {
    requireSyncNetPorts(session);
    const outputs = await session.run(testInputs());
    for (const name of [lipOutputName, audioOutputName]) {
      const values = Array.from(outputs[name]?.data ?? [], Number);
      if (values.length !== embeddingLength || !values.every(Number.isFinite))
        throw invalid(`The output ${name} has values that are not finite, or not ${embeddingLength} values.`);
    }
    return {
      facts: { inputs: { frames: framesInputName, mfcc: mfccInputName }, embedding_length: embeddingLength },
      summary: `windows of ${windowFrames} frames of ${frameSidePx} × ${frameSidePx}; one pass is finite`,
    };
  },
};

/** Throws `model_invalid` unless a model has the inputs and outputs of `syncNetworkGraph`. */
export function requireSyncNetPorts({ inputs, outputs }: NetworkPorts): void {
  const complete =
    inputs.length === 2 &&
    inputs.some((port) => hasShape(port, framesInputName, framesShape)) &&
    inputs.some((port) => hasShape(port, mfccInputName, mfccShape)) &&
    [lipOutputName, audioOutputName].every((name) => outputs.some((port) => hasShape(port, name, [embeddingLength])));
  if (complete) return;
  throw invalid(
    `Expected inputs ${framesInputName} (batch, ${framesShape.join(', ')}) and ${mfccInputName} (batch, ${mfccShape.join(', ')}) with a dynamic batch, and outputs ${lipOutputName} and ${audioOutputName} (batch, ${embeddingLength}).`,
  );
}

/** Inputs of one window with a different value at every index. */
export function testInputs(): Readonly<Record<string, OnnxTensor>> {
  const pixels = framesShape.reduce((product, size) => product * size, 1);
  return {
    [framesInputName]: {
      type: 'float32',
      data: Float32Array.from({ length: pixels }, (_, index) => 127.5 + 127.5 * Math.sin(index * index * 0.11)),
      dims: [1, ...framesShape],
    },
    [mfccInputName]: {
      type: 'float32',
      data: Float32Array.from(
        { length: mfccCount * windowMfccRows },
        (_, index) => 20 * Math.sin(index * index * 0.37),
      ),
      dims: [1, ...mfccShape],
    },
  };
}

/** Whether a port has this name and these sizes after a dynamic batch axis; unknown sizes match. */
function hasShape(port: PortInfo, name: string, shape: readonly number[]): boolean {
  const [batch, ...sizes] = port.dims;
  return (
    port.name === name &&
    port.elementType === 'float32' &&
    batch === null &&
    sizes.length === shape.length &&
    sizes.every((size, axis) => size === null || size === shape[axis])
  );
}

function invalid(finding: string): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The model is not a supported SyncNet. ${finding} Import the official checkpoint with "models import".`,
  );
}
