import { readSpeech } from '../media/index.ts';
import { loadSession, type OnnxSession } from '../inference/onnx-session.ts';
import type { Timeline } from '../media/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { analyzeSpeech } from './analyze-speech.ts';
import { writeMouthCurve } from './mouth-curve-file.ts';
import { loadMouthModel } from './mouth-model.ts';
import { analysisSampleRateHz, type SpeechReport } from './speech-types.ts';
import { voiceModelPath } from './voice-model.ts';

export interface AnalyzeSpeechInput {
  readonly speechPath: string;
  /** Length of the speech, for the progress. */
  readonly speechDurationMs: number;
  readonly timeline: Timeline;
  /** Where the mouth curve for the timeline is written. */
  readonly mouthCurvePath: string;
}

/** Part of the speech after which progress is reported again. */
const reportedStep = 0.02;

export async function analyzeSpeechTask(
  input: AnalyzeSpeechInput,
  { signal, resources, onProgress }: RenderTaskContext,
): Promise<SpeechReport> {
  const [voiceSession, mouthModel] = await Promise.all([
    resources.get(loadVoiceSession),
    resources.get(loadMouthModel),
  ]);
  const speechSamples = (input.speechDurationMs * analysisSampleRateHz) / 1000;
  const chunks = counted(readSpeech(input.speechPath, { signal }), speechSamples, (fraction) =>
    onProgress({ stage: 'listening', fraction }),
  );
  const { curve, report } = await analyzeSpeech({ chunks, timeline: input.timeline, voiceSession, mouthModel, signal });
  await writeMouthCurve(input.mouthCurvePath, curve);
  return report;
}

/** Loads the voice activity model; one thread, since jobs run beside each other. */
export function loadVoiceSession(): Promise<OnnxSession> {
  return loadSession(voiceModelPath(), { threads: 1 });
}

/** The same chunks, telling the share of the samples that was worked on, 0–1. */
async function* counted(
  chunks: AsyncIterable<Float32Array>,
  allSamples: number,
  onHeard: (fraction: number) => void,
): AsyncGenerator<Float32Array> {
  let samples = 0;
  let reported = 0;
  for await (const chunk of chunks) {
    yield chunk;
    samples += chunk.length;
    const fraction = Math.min(1, samples / allSamples);
    if (fraction - reported < reportedStep) continue;
    reported = fraction;
    onHeard(fraction);
  }
}
