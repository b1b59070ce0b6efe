import { readSpeech } from '../../media/index.ts';
import { analyseSpeech, writeMouthCurve, type SpeechReport } from '../../speech/index.ts';
import type { AnalyseSpeechTask } from '../render-tasks.ts';
import type { RenderTaskContext } from '../run-render-task.ts';

export async function analyseSpeechTask(task: AnalyseSpeechTask, { signal, resources }: RenderTaskContext): Promise<SpeechReport> {
  const [voiceSession, mouthModel] = await Promise.all([resources.voiceSession(), resources.mouthModel()]);
  const chunks = readSpeech(task.speechPath, { signal });
  const { curve, report } = await analyseSpeech({ chunks, timeline: task.timeline, voiceSession, mouthModel, signal });
  await writeMouthCurve(task.mouthCurvePath, curve);
  return report;
}
