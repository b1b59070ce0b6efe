import { LipsyncError } from '../../errors/index.ts';
import type { NetworkTrial } from '../../inference/models/network-kind.ts';
import type { OnnxTensor } from '../../inference/onnx-session.ts';
import { mfccCount } from '../../audio/mfcc.ts';
import { facesInputName, mfccInputName, scoresOutputName } from './speaker-graph.ts';
import { mfccRowsPerFrame, speakerCropPx } from './speaker-network.ts';

const testFrames = 6;

/** Inputs of one short window whose values differ at every index. */
export function speakerTestInputs(): Readonly<Record<string, OnnxTensor>> {
  const wave = (length: number, offset: number, amplitude: number): Float32Array =>
    Float32Array.from({ length }, (_, index) => offset + amplitude * Math.sin(index * index * 0.11));
  const rows = testFrames * mfccRowsPerFrame;
  return {
    [facesInputName]: {
      type: 'float32',
      data: wave(testFrames * speakerCropPx ** 2, 127.5, 127.5),
      dims: [1, testFrames, speakerCropPx, speakerCropPx],
    },
    [mfccInputName]: { type: 'float32', data: wave(rows * mfccCount, 0, 20), dims: [1, rows, mfccCount] },
  };
}

/** Runs LR-ASD models once. */
export const networkTrial: NetworkTrial = {
  matches: ({ inputs }) => [facesInputName, mfccInputName].every((name) => inputs.some((input) => input.name === name)),
  async run(session) {
    const { [scoresOutputName]: scores } = await session.run(speakerTestInputs()).catch((cause: unknown) => {
      throw invalid('It failed on a window of six frames.', cause);
    });
    if (scores?.data.length !== testFrames) throw invalid(`It scored ${scores?.data.length ?? 0} frames instead of 6.`);
    if (!Array.from(scores.data, Number).every(Number.isFinite)) throw invalid('Its scores are not finite.');
    return {
      facts: { crop_size_px: speakerCropPx, inputs: { faces: facesInputName, mfcc: mfccInputName } },
      summary: `crops of ${speakerCropPx} × ${speakerCropPx}, windows of any length; one pass is finite`,
    };
  },
};

function invalid(finding: string, cause?: unknown): LipsyncError {
  return new LipsyncError('model_invalid', `The model does not score speakers. ${finding} Import it again.`, { cause });
}
