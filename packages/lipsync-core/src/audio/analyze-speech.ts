import { abortError } from '../errors/index.ts';
import type { OnnxSession } from '../inference/onnx-session.ts';
import type { Timeline } from '../media/timeline.ts';
import { createMouthCurve } from './mouth-curve.ts';
import type { MouthCurve } from './mouth-curve-file.ts';
import { estimateMouth, normalizeFeatures, type MouthModel } from './mouth-model.ts';
import { detectSpeechActivity } from './speech-activity.ts';
import { FeatureExtractor, quietestDb, type SpeechFeatures } from './speech-features.ts';
import { VoiceActivityDetector } from './voice-activity-detector.ts';

/** Properties of the speech that decide how a job continues. */
export interface SpeechReport {
  readonly voiceFound: boolean;
  /** Highest short-time level of the whole speech, dBFS; −Infinity for digital silence. */
  readonly peakLevelDb: number;
}

export interface SpeechAnalysis {
  readonly curve: MouthCurve;
  readonly report: SpeechReport;
}

export interface MeasureSpeechOptions {
  /** Mono samples at 16 kHz in −1…1, in chunks of any length. */
  readonly chunks: AsyncIterable<Float32Array>;
  /** A session of the model at `voiceModelPath()`. The caller releases it. */
  readonly voiceSession: OnnxSession;
  readonly signal: AbortSignal;
}

export interface AnalyzeSpeechOptions extends MeasureSpeechOptions {
  readonly timeline: Pick<Timeline, 'frameRate' | 'frameCount'>;
  /** The trained weights from `loadMouthModel()`. */
  readonly mouthModel: MouthModel;
}

/**
 * Converts speech to a mouth curve with one value per output frame. After the end of the speech the mouth closes as in
 * a pause. Uses about 100 MB of memory per hour of speech. Throws the errors of `chunks`, the signal's error when it is
 * aborted, and `model_invalid` when the voice session belongs to another model.
 */
export async function analyzeSpeech(options: AnalyzeSpeechOptions): Promise<SpeechAnalysis> {
  const { features, voiceProbabilities } = await measureSpeech(options);
  const activity = detectSpeechActivity(features, voiceProbabilities);
  const estimate = estimateMouth(options.mouthModel, normalizeFeatures(features, activity));
  return {
    curve: createMouthCurve(features, activity, estimate, options.timeline),
    report: { voiceFound: activity.voiceFound, peakLevelDb: peakLevel(features) },
  };
}

export interface MeasuredSpeech {
  readonly features: SpeechFeatures;
  /** Probability of voice (0–1) per window of 32 ms. */
  readonly voiceProbabilities: Float32Array;
}

/** Extracts features and voice probabilities in one pass over the speech. Keeps about 30 MB per hour. */
export async function measureSpeech({ chunks, voiceSession, signal }: MeasureSpeechOptions): Promise<MeasuredSpeech> {
  const extractor = new FeatureExtractor();
  const detector = new VoiceActivityDetector(voiceSession);
  if (signal.aborted) throw abortError(signal);
  for await (const chunk of chunks) {
    if (signal.aborted) throw abortError(signal);
    extractor.push(chunk);
    await detector.push(chunk);
  }
  return { features: extractor.finish(), voiceProbabilities: await detector.finish() };
}

function peakLevel({ levelDb }: SpeechFeatures): number {
  const peak = levelDb.reduce((highest, level) => Math.max(highest, level), quietestDb);
  return peak > quietestDb ? peak : Number.NEGATIVE_INFINITY;
}
