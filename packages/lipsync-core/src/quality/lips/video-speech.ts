import { loadVoiceSession } from '../../audio/analyze-speech-task.ts';
import { measureSpeech } from '../../audio/analyze-speech.ts';
import { createMouthCurve } from '../../audio/mouth-curve.ts';
import { estimateMouth, loadMouthModel, normalizeFeatures } from '../../audio/mouth-model.ts';
import { detectSpeechActivity } from '../../audio/speech-activity.ts';
import { stepsPerSecond } from '../../audio/speech-features.ts';
import { probeSound, readSpeech, shiftSound, type ClipFacts } from '../../media/index.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import type { SoundFeed } from './sound-feed.ts';

/** The sound of a video on the time axis of its picture, in steps of 10 ms. */
export interface VideoSpeech {
  readonly hasSound: boolean;
  readonly voiceFound: boolean;
  readonly stepsPerSecond: number;
  /** Level per step, dBFS. */
  readonly levelDb: Float32Array;
  /** Power in dB, rows of `bandCount` mel bands, one row per step. */
  readonly bandsDb: Float32Array;
  /** 1 in speech, 0 in pauses. */
  readonly active: Uint8Array;
  /** Level of the loud parts of the speech and of the background, dBFS. */
  readonly speechLevelDb: number;
  readonly noiseLevelDb: number;
  /** Strength of a bilabial closure (p, b, m) per frame of the video, 0–1. */
  readonly closure: Float32Array;
}

/** The sound of a video that has none. */
export const soundOfNone: VideoSpeech = {
  hasSound: false,
  voiceFound: false,
  stepsPerSecond,
  levelDb: new Float32Array(0),
  bandsDb: new Float32Array(0),
  active: new Uint8Array(0),
  speechLevelDb: -Infinity,
  noiseLevelDb: -Infinity,
  closure: new Float32Array(0),
};

/** Decodes and measures the sound of a video in one pass. Keeps about 30 MB per hour. */
export async function measureVideoSpeech(
  sound: SoundFeed,
  facts: Pick<ClipFacts, 'frameRate' | 'frameCount'>,
  { resources, signal }: Pick<RenderTaskContext, 'resources' | 'signal'>,
): Promise<VideoSpeech> {
  if (!sound.track) return soundOfNone;
  const voiceSession = await resources.get(loadVoiceSession);
  const mouthModel = await resources.get(loadMouthModel);
  const { features, voiceProbabilities } = await measureSpeech({ chunks: sound.read(), voiceSession, signal });
  if (features.stepCount === 0) return soundOfNone;
  const activity = detectSpeechActivity(features, voiceProbabilities);
  const estimate = estimateMouth(mouthModel, normalizeFeatures(features, activity));
  const { closure } = createMouthCurve(features, activity, estimate, facts);
  const { levelDb, bandsDb } = features;
  return { hasSound: true, stepsPerSecond, levelDb, bandsDb, closure, ...activity };
}

/** The sound of a video on the time axis of its picture, as networks take it: mono, 16 kHz, −1…1. */
export async function* readVideoSound(path: string, signal: AbortSignal): AsyncGenerator<Float32Array> {
  const track = await probeSound(path, signal);
  if (track) yield* shiftSound(readSpeech(path, { ...track, signal }), track.delayMs);
}
