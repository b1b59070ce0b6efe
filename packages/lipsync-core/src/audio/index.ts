export {
  analyzeSpeech,
  analyzeSpeechRenderTask,
  type AnalyzeSpeechOptions,
  type SpeechAnalysis,
  type SpeechReport,
} from './analyze-speech.ts';
export { readMouthCurve, type MouthCurve } from './mouth-curve-file.ts';
export { loadMouthModel, type MouthModel } from './mouth-model.ts';
export { analysisSampleRateHz } from './speech-features.ts';
export { voiceModelPath } from './voice-activity-detector.ts';
