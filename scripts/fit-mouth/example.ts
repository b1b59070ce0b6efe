import type { OnnxSession } from '../../packages/lipsync-core/src/inference/onnx-session.ts';
import { measureSpeech } from '../../packages/lipsync-core/src/audio/analyze-speech.ts';
import { normalizeFeatures } from '../../packages/lipsync-core/src/audio/mouth-model.ts';
import { detectSpeechActivity } from '../../packages/lipsync-core/src/audio/speech-activity.ts';
import type { Spoken } from './espeak.ts';
import { mouthTargets } from './mouth-targets.ts';
import type { Example } from './network.ts';

/** Only steps this close to speech are used: pauses contain little information and are half of some recordings. */
const marginSteps = 10;

/** Prepares a recording exactly as speech analysis does. */
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

/** Yields the samples as a stream of one chunk. */
export async function* pieces(samples: Float32Array): AsyncGenerator<Float32Array> {
  yield samples;
}
