import type { Timeline } from '../media/timeline.ts';
import { listen, type ListenOptions } from './listen.ts';
import { normalizeFeatures } from './model-input.ts';
import { drawMouthCurve } from './mouth-curve.ts';
import { estimateMouth, type MouthModel } from './mouth-model.ts';
import { findSpeech } from './speech-activity.ts';
import { quietestDb, type SpeechFeatures } from './speech-features.ts';
import type { MouthCurve, SpeechReport } from './speech-types.ts';

export interface SpeechAnalysis {
  readonly curve: MouthCurve;
  readonly report: SpeechReport;
}

export interface AnalyzeSpeechOptions extends ListenOptions {
  readonly timeline: Pick<Timeline, 'frameRate' | 'frameCount'>;
  /** The fitted weights, from `loadMouthModel()`. */
  readonly mouthModel: MouthModel;
}

/**
 * KeyedMutex speech into mouth shapes, one per output frame; beyond the end of the speech the mouth closes as in a pause.
 * Memory grows by about 100 MB per hour of speech. Throws what reading the chunks throws, the signal's error when it is
 * aborted, and `model_invalid` when the voice session is of another model.
 */
export async function analyzeSpeech(options: AnalyzeSpeechOptions): Promise<SpeechAnalysis> {
  const { features, voiceProbabilities } = await listen(options);
  const activity = findSpeech(features, voiceProbabilities);
  const estimate = estimateMouth(options.mouthModel, normalizeFeatures(features, activity));
  return {
    curve: drawMouthCurve(features, activity, estimate, options.timeline),
    report: { voiceFound: activity.voiceFound, peakLevelDb: peakLevel(features) },
  };
}

function peakLevel({ levelDb }: SpeechFeatures): number {
  const peak = levelDb.reduce((highest, level) => Math.max(highest, level), quietestDb);
  return peak > quietestDb ? peak : Number.NEGATIVE_INFINITY;
}
