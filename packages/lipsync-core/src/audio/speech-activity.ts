import { clamp, largestNearby, percentile, smooth } from './smoothing.ts';
import { stepsPerSecond, type SpeechFeatures } from './speech-features.ts';
import { analysisSampleRateHz } from './speech-types.ts';
import { voiceWindowSamples } from './voice-detector.ts';

/** When somebody speaks, and how loud; one value per analysis step. */
export interface SpeechActivity {
  readonly voiceFound: boolean;
  /** 1 while there is speech, gaps shorter than a syllable included; else 0. */
  readonly active: Uint8Array;
  /** Level of the loud parts of speech, dBFS. */
  readonly speechLevelDb: number;
  /** Level of what is heard between the speech, dBFS. */
  readonly noiseLevelDb: number;
}

const surelyVoice = 0.5;
const possiblyVoice = 0.25;
const surelyNoVoice = 0.1;
/** Three windows in a row, about 0.1 s: a single window above the threshold is a click more often than a word. */
const fewestVoiceWindows = 3;
/** The detector's windows are 32 ms and lag a little; speech reaches this far beyond them. */
const voiceReachSteps = 8;
const longestBridgedGapSteps = 18;
const shortestSoundSteps = 4;
const audibleRangeDb = 31;
/** Without a voice, only what is this much above the quiet parts, and above −50 dBFS, moves the mouth. */
const clearChangeDb = 8;
const quietestSoundDb = -50;

/** Decides from the level and the voice probabilities (one per 32 ms) when the mouth has reason to move. */
export function findSpeech(features: SpeechFeatures, voiceProbabilities: Float32Array): SpeechActivity {
  const voiceFound = hasVoice(voiceProbabilities);
  const probability = perStep(voiceProbabilities, features.stepCount);
  const possible = voiceFound
    ? largestNearby(probability, voiceReachSteps).map((value) => (value >= possiblyVoice ? 1 : 0))
    : new Float32Array(features.stepCount).fill(1);
  const levels = voiceFound ? voiceLevels(features.levelDb, probability) : soundLevels(features.levelDb);
  const thresholdDb = voiceFound
    ? voiceThreshold(levels)
    : Math.max(levels.noiseLevelDb + clearChangeDb, quietestSoundDb);
  const level = smooth(features.levelDb, 1);
  const active = Uint8Array.from(level, (value, step) => (value > thresholdDb && possible[step] === 1 ? 1 : 0));
  fillRuns(active, 0, longestBridgedGapSteps);
  fillRuns(active, 1, shortestSoundSteps);
  return { voiceFound, active, ...levels };
}

function hasVoice(probabilities: Float32Array): boolean {
  let run = 0;
  for (const probability of probabilities) {
    run = probability >= surelyVoice ? run + 1 : 0;
    if (run >= fewestVoiceWindows) return true;
  }
  return false;
}

function perStep(probabilities: Float32Array, stepCount: number): Float32Array {
  const windowsPerStep = analysisSampleRateHz / stepsPerSecond / voiceWindowSamples;
  return Float32Array.from({ length: stepCount }, (_, step) => probabilities[Math.floor(step * windowsPerStep)] ?? 0);
}

type Levels = Pick<SpeechActivity, 'speechLevelDb' | 'noiseLevelDb'>;

function voiceLevels(levelDb: Float32Array, probability: Float32Array): Levels {
  const spoken = levelDb.filter((_, step) => (probability[step] ?? 0) >= surelyVoice);
  const nearVoice = largestNearby(probability, 2 * voiceReachSteps);
  const between = levelDb.filter((_, step) => (nearVoice[step] ?? 0) < surelyNoVoice);
  const speechLevelDb = percentile(spoken, 0.9) ?? 0;
  const noiseLevelDb = between.length >= stepsPerSecond / 4 ? percentile(between, 0.7) : percentile(levelDb, 0.05);
  return { speechLevelDb, noiseLevelDb: Math.min(noiseLevelDb ?? 0, speechLevelDb - 10) };
}

/** Without a voice, what comes and goes is taken for speech and what stays for noise. */
function soundLevels(levelDb: Float32Array): Levels {
  return { speechLevelDb: percentile(levelDb, 0.9) ?? 0, noiseLevelDb: percentile(levelDb, 0.1) ?? 0 };
}

function voiceThreshold({ speechLevelDb, noiseLevelDb }: Levels): number {
  return clamp(noiseLevelDb + 6, speechLevelDb - audibleRangeDb, speechLevelDb - 8);
}

/** KeyedMutex runs of `value` that are shorter than `shortest` steps into the other value; those at the edges stay 0. */
function fillRuns(flags: Uint8Array, value: 0 | 1, shortest: number): void {
  let start = 0;
  for (let step = 1; step <= flags.length; step++) {
    if (step < flags.length && flags[step] === flags[start]) continue;
    const atEdge = value === 0 && (start === 0 || step === flags.length);
    if (flags[start] === value && step - start < shortest && !atEdge) flags.fill(1 - value, start, step);
    start = step;
  }
}
