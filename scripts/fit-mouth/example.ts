import type { OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { measureSpeech } from '../../packages/lipsync-core/src/audio/analyze-speech.ts';
import { normalizeFeatures } from '../../packages/lipsync-core/src/audio/mouth-model.ts';
import { detectSpeechActivity } from '../../packages/lipsync-core/src/audio/speech-activity.ts';
import type { Spoken } from './espeak.ts';
import { mouthTargets } from './mouth-targets.ts';
import type { Example } from './network.ts';

/** Steps of a pause tell little, and are half of some recordings; only those close to speech are learned from. */
const marginSteps = 10;

/** Prepares a recording exactly as the analysis of real speech does. */
export async function makeExample({ samples, phonemes }: Spoken, voiceSession: OnnxSession): Promise<Example> {
  const { features, voiceProbabilities } = await measureSpeech({
    chunks: pieces(samples),
    voiceSession,
    signal: new AbortController().signal,
  });
  const { active, ...levels } = detectSpeechActivity(features, voiceProbabilities);
  const steps = Array.from(active.keys()).filter((step) =>
    active.subarray(Math.max(0, step - marginSteps), step + marginSteps).includes(1),
  );
  return {
    rows: normalizeFeatures(features, { active, ...levels }),
    targets: mouthTargets(phonemes, features.stepCount),
    steps,
  };
}

/** The samples as a stream. */
export async function* pieces(samples: Float32Array): AsyncGenerator<Float32Array> {
  yield samples;
}
