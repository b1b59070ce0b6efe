import { loadSession, type OnnxSession } from '../inference/onnx-session.ts';
import { readSpeech, type SpeechFacts, type Timeline } from '../media/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { analyzeSpeech, type SpeechReport } from './analyze-speech.ts';
import { writeMouthCurve } from './mouth-curve-file.ts';
import { loadMouthModel } from './mouth-model.ts';
import { analysisSampleRateHz } from './speech-features.ts';
import { voiceModelPath } from './voice-activity-detector.ts';

export interface AnalyzeSpeechInput {
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  /** Output file for the mouth curve of the timeline. */
  readonly mouthCurvePath: string;
  /** As `saveTo` of `readSpeech`. */
  readonly samplesPath?: string | undefined;
}

/** Progress is reported each time this fraction of the speech has been analyzed. */
const progressStep = 0.02;

/** Analyzes the speech, and writes the mouth curve of the timeline and the samples. */
export async function analyzeSpeechTask(
  input: AnalyzeSpeechInput,
  { signal, resources, onProgress }: RenderTaskContext,
): Promise<SpeechReport> {
  const [voiceSession, mouthModel] = await Promise.all([
    resources.get(loadVoiceSession),
    resources.get(loadMouthModel),
  ]);
  const { speechPath, speech, samplesPath } = input;
  const sampleCount = (speech.durationMs * analysisSampleRateHz) / 1000;
  const chunks = withProgress(
    readSpeech(speechPath, { ...speech, saveTo: samplesPath, signal }),
    sampleCount,
    (fraction) => onProgress({ stage: 'listening', fraction }),
  );
  const { curve, report } = await analyzeSpeech({ chunks, timeline: input.timeline, voiceSession, mouthModel, signal });
  await writeMouthCurve(input.mouthCurvePath, curve);
  return report;
}

/** Loads the voice activity model with a single thread, because several jobs run at the same time. */
export function loadVoiceSession(): Promise<OnnxSession> {
  return loadSession(voiceModelPath(), { threads: 1 });
}

/** Passes the chunks through and reports the fraction (0–1) of `sampleCount` that has been consumed. */
async function* withProgress(
  chunks: AsyncIterable<Float32Array>,
  sampleCount: number,
  onProgress: (fraction: number) => void,
): AsyncGenerator<Float32Array> {
  let consumed = 0;
  let reported = 0;
  for await (const chunk of chunks) {
    yield chunk;
    consumed += chunk.length;
    const fraction = Math.min(1, consumed / sampleCount);
    if (fraction - reported < progressStep) continue;
    reported = fraction;
    onProgress(fraction);
  }
}
