export { analyzeSpeech, type AnalyzeSpeechOptions, type SpeechAnalysis } from './analyze-speech.ts';
export { readMouthCurve } from './mouth-curve-file.ts';
export { loadMouthModel, type MouthModel } from './mouth-model.ts';
export { analysisSampleRateHz, type MouthCurve, type SpeechReport } from './speech-types.ts';
export { voiceModelPath } from './voice-model.ts';
export { analyzeSpeechRenderTask } from './speech-task.ts';
