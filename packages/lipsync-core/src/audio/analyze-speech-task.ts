import { readSpeech } from '../media/index.ts';
import { analyzeSpeech, analysisSampleRateHz, writeMouthCurve, type SpeechReport } from './index.ts';
import type { AnalyzeSpeechTask } from '../processes/render-tasks.ts';
import type { RenderTaskContext } from '../processes/run-render-task.ts';

/** Part of the speech after which progress is reported again. */
const reportedStep = 0.02;

export async function analyzeSpeechTask(
  task: AnalyzeSpeechTask,
  { signal, resources, onProgress }: RenderTaskContext,
): Promise<SpeechReport> {
  const [voiceSession, mouthModel] = await Promise.all([resources.voiceSession(), resources.mouthModel()]);
  const speechSamples = (task.speechDurationMs * analysisSampleRateHz) / 1000;
  const chunks = counted(readSpeech(task.speechPath, { signal }), speechSamples, (fraction) =>
    onProgress({ stage: 'listening', fraction }),
  );
  const { curve, report } = await analyzeSpeech({ chunks, timeline: task.timeline, voiceSession, mouthModel, signal });
  await writeMouthCurve(task.mouthCurvePath, curve);
  return report;
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
