import { defineRenderTask } from '../processes/render-task.ts';
import type { analyzeSpeechTask } from './analyze-speech-task.ts';

export { analyzeSpeech, type AnalyzeSpeechOptions, type SpeechAnalysis, type SpeechReport } from './analyze-speech.ts';
export { readMouthCurve, type MouthCurve } from './mouth-curve-file.ts';
export { loadMouthModel, type MouthModel } from './mouth-model.ts';
export { analysisSampleRateHz } from './speech-features.ts';
export { voiceModelPath } from './voice-activity-detector.ts';

/** Analyzes the speech and writes the mouth curve for the timeline to a file, in a render process. */
export const analyzeSpeechRenderTask = defineRenderTask<typeof analyzeSpeechTask>(
  './analyze-speech-task',
  'analyzeSpeechTask',
  import.meta.url,
);
