export { analyseSpeech, type AnalyseSpeechOptions, type SpeechAnalysis } from './analyse-speech.ts';
export { readMouthCurve, writeMouthCurve } from './mouth-curve-file.ts';
export { loadMouthModel, type MouthModel } from './mouth-model.ts';
export { analysisSampleRateHz, type MouthCurve, type SpeechReport } from './speech-types.ts';
export { voiceModelPath } from './voice-model.ts';
