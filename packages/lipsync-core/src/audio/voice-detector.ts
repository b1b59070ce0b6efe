import { LipsyncError } from '../errors/index.ts';
import type { OnnxSession, OnnxTensor } from '../inference/onnx-session.ts';
import { createBlockList } from './block-list.ts';
import { analysisSampleRateHz } from './speech-types.ts';

/** Samples that the detector judges at once: 32 ms. */
export const voiceWindowSamples = 512;

const contextSamples = 64;
const stateLength = 2 * 128;

export interface VoiceDetector {
  /** Takes the next samples (16 kHz, mono); values that are not finite count as silence. */
  push(samples: Float32Array): Promise<void>;
  /** Probability of voice, 0–1, in each window of 32 ms; the last window is filled up with silence. */
  finish(): Promise<Float32Array>;
}

/**
 * Runs the Silero voice activity model (version 5: 64 samples of context before each window, recurrent state of
 * 2 × 1 × 128) over a stream. The session stays the caller's. Throws `model_invalid` when it is another model.
 */
export function createVoiceDetector(session: OnnxSession): VoiceDetector {
  const input = new Float32Array(contextSamples + voiceWindowSamples);
  const probabilities = createBlockList(1);
  let filled = contextSamples;
  let state: OnnxTensor = { type: 'float32', data: new Float32Array(stateLength), dims: [2, 1, 128] };

  const judgeWindow = async (): Promise<void> => {
    const outputs = await session.run({
      input: { type: 'float32', data: input, dims: [1, input.length] },
      state,
      sr: { type: 'int64', data: BigInt64Array.of(BigInt(analysisSampleRateHz)), dims: [] },
    });
    const { output, stateN } = outputs;
    if (output?.type !== 'float32' || stateN?.type !== 'float32') {
      throw new LipsyncError(
        'model_invalid',
        'The voice activity model is not Silero version 5. Install the package again.',
      );
    }
    probabilities.append(output.data);
    state = stateN;
    input.copyWithin(0, voiceWindowSamples);
    filled = contextSamples;
  };

  return {
    async push(samples) {
      for (const sample of samples) {
        input[filled++] = Number.isFinite(sample) ? sample : 0;
        if (filled === input.length) await judgeWindow();
      }
    },
    async finish() {
      if (filled > contextSamples) {
        input.fill(0, filled);
        await judgeWindow();
      }
      return probabilities.join(probabilities.rowCount);
    },
  };
}
