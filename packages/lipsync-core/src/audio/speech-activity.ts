import { clamp } from '../image/math.ts';
import { analysisSampleRateHz, stepsPerSecond, type SpeechFeatures } from './speech-features.ts';
import { gaussianSmooth, quantile, slidingMaximum } from './time-series.ts';
import { voiceWindowSamples } from './voice-activity-detector.ts';

/** When speech is heard and how loud it is. */
export interface SpeechActivity {
  readonly voiceFound: boolean;
  /** Per analysis step: 1 in speech, including gaps shorter than a syllable, else 0. */
  readonly active: Uint8Array;
  /** Level of the loud parts of the speech, dBFS. */
  readonly speechLevelDb: number;
  /** Level of the background between the speech, dBFS. */
  readonly noiseLevelDb: number;
}

/** Voice probabilities that count as certain voice, possible voice and certainly no voice. */
const certainVoice = 0.5;
const possibleVoice = 0.25;
const certainNoVoice = 0.1;
/** Consecutive windows of certain voice (about 0.1 s) that prove a voice. Shorter runs are mostly clicks. */
const minimumVoiceWindows = 3;
/** The 32 ms windows of the detector lag a little, so speech may extend this far beyond them. */
const voiceMarginSteps = 8;
const longestBridgedGapSteps = 18;
const shortestSoundSteps = 4;
const audibleRangeDb = 31;
/** Without a voice, only sound this far above the quiet parts and above −50 dBFS moves the mouth. */
const audibleChangeDb = 8;
const quietestSoundDb = -50;

/** Decides from level and voice probabilities (one per 32 ms) in which steps the mouth moves. */
export function detectSpeechActivity(features: SpeechFeatures, voiceProbabilities: Float32Array): SpeechActivity {
  const voiceFound = hasVoice(voiceProbabilities);
  const probability = resampleToSteps(voiceProbabilities, features.stepCount);
  const possible = voiceFound
    ? slidingMaximum(probability, voiceMarginSteps).map((value) => (value >= possibleVoice ? 1 : 0))
    : new Float32Array(features.stepCount).fill(1);
  const levels = voiceFound ? measureVoiceLevels(features.levelDb, probability) : measureSoundLevels(features.levelDb);
  const thresholdDb = voiceFound
    ? voiceThreshold(levels)
    : Math.max(levels.noiseLevelDb + audibleChangeDb, quietestSoundDb);
  const level = gaussianSmooth(features.levelDb, 1);
  const active = Uint8Array.from(level, (value, step) => (value > thresholdDb && possible[step] === 1 ? 1 : 0));
  removeShortRuns(active, 0, longestBridgedGapSteps);
  removeShortRuns(active, 1, shortestSoundSteps);
  return { voiceFound, active, ...levels };
}

function hasVoice(probabilities: Float32Array): boolean {
  let run = 0;
  for (const probability of probabilities) {
    run = probability >= certainVoice ? run + 1 : 0;
    if (run >= minimumVoiceWindows) return true;
  }
  return false;
}

function resampleToSteps(probabilities: Float32Array, stepCount: number): Float32Array {
  const windowsPerStep = analysisSampleRateHz / stepsPerSecond / voiceWindowSamples;
  return Float32Array.from({ length: stepCount }, (_, step) => probabilities[Math.floor(step * windowsPerStep)] ?? 0);
}

type Levels = Pick<SpeechActivity, 'speechLevelDb' | 'noiseLevelDb'>;

function measureVoiceLevels(levelDb: Float32Array, probability: Float32Array): Levels {
  const voiced = levelDb.filter((_, step) => (probability[step] ?? 0) >= certainVoice);
  const nearVoice = slidingMaximum(probability, 2 * voiceMarginSteps);
  const background = levelDb.filter((_, step) => (nearVoice[step] ?? 0) < certainNoVoice);
  const speechLevelDb = quantile(voiced, 0.9) ?? 0;
  const hasBackground = background.length >= stepsPerSecond / 4;
  const noiseLevelDb = hasBackground ? quantile(background, 0.7) : quantile(levelDb, 0.05);
  return { speechLevelDb, noiseLevelDb: Math.min(noiseLevelDb ?? 0, speechLevelDb - 10) };
}

/** Without a voice, the loud parts count as speech and the quiet parts as background. */
function measureSoundLevels(levelDb: Float32Array): Levels {
  return { speechLevelDb: quantile(levelDb, 0.9) ?? 0, noiseLevelDb: quantile(levelDb, 0.1) ?? 0 };
}

function voiceThreshold({ speechLevelDb, noiseLevelDb }: Levels): number {
  return clamp(noiseLevelDb + 6, speechLevelDb - audibleRangeDb, speechLevelDb - 8);
}

/** Flips runs of `value` that are shorter than `minimumSteps`. Runs of 0 at the ends are kept. */
function removeShortRuns(flags: Uint8Array, value: 0 | 1, minimumSteps: number): void {
  let start = 0;
  for (let step = 1; step <= flags.length; step += 1) {
    if (step < flags.length && flags[step] === flags[start]) continue;
    const isPauseAtEnd = value === 0 && (start === 0 || step === flags.length);
    if (flags[start] === value && step - start < minimumSteps && !isPauseAtEnd) flags.fill(1 - value, start, step);
    start = step;
  }
}
