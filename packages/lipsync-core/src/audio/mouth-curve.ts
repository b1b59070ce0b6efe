import { clamp } from '../image/math.ts';
import { frameTimeMs, type Timeline } from '../media/timeline.ts';
import type { MouthCurve } from './mouth-curve-file.ts';
import type { MouthEstimate } from './mouth-model.ts';
import type { SpeechActivity } from './speech-activity.ts';
import { quietestDb, stepsPerSecond, type SpeechFeatures } from './speech-features.ts';
import { gaussianSmooth, limitSlewRate, quantile, slidingMaximum } from './time-series.ts';

/** Level range over which the mouth opens. At this distance below the speech level it is nearly closed. */
const loudnessRangeDb = 30;
/** Slew rates per step of 10 ms: a jaw opens fully in about 80 ms after a plosive, and lips close faster. */
const openingPerStep = 0.12;
const closingPerStep = 0.15;
/** Lips start to part about one frame before the sound. */
const anticipationSteps = 4;
const gateSigmaSteps = 2;
const shapeSigmaSteps = 2.5;
const closureSigmaSteps = 1;
/** Closure probabilities that map to no closure and to a full one. */
const closureRange = [0.3, 0.7] as const;
const longestClosureSteps = 14;
/**
 * Radius of the search for the level drop of a closure, and the drops from which the closure counts in part and in
 * full.
 */
const levelDropRadiusSteps = 15;
const smallestLevelDropDb = 2;
const clearLevelDropDb = 6;
/** The quantile of the openings of active speech that maps to `referenceOpening`. */
const referenceQuantile = 0.97;
const referenceOpening = 0.9;
/** Largest opening without a voice, when only loudness moves the mouth. */
const largestOpeningWithoutVoice = 0.5;

type FrameTimes = Pick<Timeline, 'frameRate' | 'frameCount'>;

/** Inputs of the curve, one value per analysis step. */
interface MouthSignals extends MouthEstimate {
  readonly levelDb: Float32Array;
  /** 1 in speech, else 0. */
  readonly active: Float32Array;
}

/**
 * Combines the model's estimate with loudness and pauses, limits its speed to that of a jaw, and samples it at each
 * output frame. After the end of the speech the mouth closes as in a pause.
 */
export function createMouthCurve(
  features: SpeechFeatures,
  activity: SpeechActivity,
  estimate: MouthEstimate,
  timeline: FrameTimes,
): MouthCurve {
  const { levelDb, active, ...mouth } = padToLastFrame(
    { ...estimate, levelDb: features.levelDb, active: Float32Array.from(activity.active) },
    timeline,
  );
  const voiced = speechGate(active);
  const gated = (value: number, step: number): number => value * (voiced[step] ?? 0);
  const closure = activity.voiceFound
    ? confirmedClosures(mouth.closure, levelDb).map(gated)
    : new Float32Array(levelDb.length);
  const loudness = relativeLoudness(levelDb, activity);
  const opening = activity.voiceFound
    ? scaledOpenings(mouth.open, loudness, active)
    : loudness.map((value) => value * largestOpeningWithoutVoice);
  const open = limitSlewRate(
    opening.map((value, step) => gated(value, step) * (1 - (closure[step] ?? 0))),
    openingPerStep,
    closingPerStep,
  );
  const wide = activity.voiceFound
    ? gaussianSmooth(mouth.wide, 1.5 * shapeSigmaSteps).map(gated)
    : new Float32Array(levelDb.length);
  return sampleFrames({ open, wide, closure, voiced }, timeline);
}

/** Appends silence when the last frame is later than the end of the speech. */
function padToLastFrame(signals: MouthSignals, timeline: FrameTimes): MouthSignals {
  const last = stepsOf(timeline.frameCount - 1, timeline);
  if (last.first < signals.active.length) return signals;
  const padded = (values: Float32Array, silence = 0): Float32Array => {
    const all = new Float32Array(last.end).fill(silence, values.length);
    all.set(values);
    return all;
  };
  return {
    open: padded(signals.open),
    wide: padded(signals.wide),
    closure: padded(signals.closure),
    levelDb: padded(signals.levelDb, quietestDb),
    active: padded(signals.active),
  };
}

/** 1 in speech, 0 in pauses, with ramps that start before the sound. */
function speechGate(active: Float32Array): Float32Array {
  const anticipated = active.slice();
  for (let step = 0; step < active.length; step += 1) {
    if (active[step] === 1) anticipated.fill(1, Math.max(0, step - anticipationSteps), step);
  }
  return gaussianSmooth(anticipated, gateSigmaSteps);
}

/**
 * Strength of bilabial closures, 0–1. A closure counts only where the level drops against its surroundings, as it must
 * behind closed lips, and no longer than a speaker holds it.
 */
function confirmedClosures(probability: Float32Array, levelDb: Float32Array): Float32Array {
  const level = gaussianSmooth(levelDb, 1);
  const surroundings = slidingMaximum(level, levelDropRadiusSteps);
  const confirmed = probability.map((value, step) => {
    const dropDb = (surroundings[step] ?? 0) - (level[step] ?? 0);
    return value * clamp((dropDb - smallestLevelDropDb) / (clearLevelDropDb - smallestLevelDropDb), 0, 1);
  });
  const [none, full] = closureRange;
  return gaussianSmooth(limitDuration(confirmed), closureSigmaSteps).map((value) =>
    clamp((value - none) / (full - none), 0, 1),
  );
}

/** Reduces each run of likely closure to at most `longestClosureSteps` around its peak. */
function limitDuration(probability: Float32Array): Float32Array {
  const kept = new Float32Array(probability.length);
  for (let start = 0; start < probability.length; start += 1) {
    if ((probability[start] ?? 0) < closureRange[0]) continue;
    let end = start;
    let peak = start;
    for (; (probability[end] ?? 0) >= closureRange[0]; end += 1)
      if ((probability[end] ?? 0) > (probability[peak] ?? 0)) peak = end;
    const first = clamp(peak - longestClosureSteps / 2, start, Math.max(start, end - longestClosureSteps));
    const last = Math.min(end, first + longestClosureSteps);
    kept.set(probability.subarray(first, last), first);
    start = end;
  }
  return kept;
}

/** Level between background (0) and speech level (1). */
function relativeLoudness(levelDb: Float32Array, { speechLevelDb, noiseLevelDb }: SpeechActivity): Float32Array {
  const quietDb = clamp(noiseLevelDb, speechLevelDb - loudnessRangeDb, speechLevelDb - loudnessRangeDb / 2);
  return gaussianSmooth(
    levelDb.map((level) => clamp((level - quietDb) / (speechLevelDb - quietDb), 0, 1)),
    shapeSigmaSteps,
  );
}

/** The estimated opening weighted by loudness and scaled so that this speaker's widest opening is close to 1. */
function scaledOpenings(estimate: Float32Array, loudness: Float32Array, active: Float32Array): Float32Array {
  const opening = gaussianSmooth(estimate, shapeSigmaSteps).map((value, step) => {
    const loud = loudness[step] ?? 0;
    return (0.9 * value + 0.1 * loud) * (0.3 + 0.7 * loud);
  });
  const widest = quantile(
    opening.filter((_, step) => active[step] === 1),
    referenceQuantile,
  );
  const scale = clamp(referenceOpening / Math.max(widest ?? 1, 0.01), 0.7, 1.8);
  return opening.map((value) => clamp(value * scale, 0, 1));
}

/**
 * One value per output frame, from the steps during which the frame is shown. A closure shorter than a frame still
 * closes the mouth: there the frame takes the minimum of the opening instead of the mean.
 */
function sampleFrames(steps: MouthCurve, timeline: FrameTimes): MouthCurve {
  const { frameCount } = timeline;
  const frames = {
    open: new Float32Array(frameCount),
    wide: new Float32Array(frameCount),
    closure: new Float32Array(frameCount),
    voiced: new Float32Array(frameCount),
  };
  for (let frame = 0; frame < frameCount; frame += 1) {
    const { first, end } = stepsOf(frame, timeline);
    const closure = maximum(steps.closure.subarray(first, end));
    const opening = steps.open.subarray(first, end);
    frames.open[frame] = closure * minimum(opening) + (1 - closure) * mean(opening);
    frames.wide[frame] = mean(steps.wide.subarray(first, end));
    frames.closure[frame] = closure;
    frames.voiced[frame] = mean(steps.voiced.subarray(first, end));
  }
  return frames;
}

/** The analysis steps during which a frame is shown: at least one, `end` exclusive. */
function stepsOf(frame: number, timeline: FrameTimes): { readonly first: number; readonly end: number } {
  const stepAt = (index: number): number => Math.round((frameTimeMs(timeline, index) * stepsPerSecond) / 1000);
  const first = stepAt(frame);
  return { first, end: Math.max(first + 1, stepAt(frame + 1)) };
}

function mean(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function maximum(values: Float32Array): number {
  return values.reduce((best, value) => Math.max(best, value), 0);
}

function minimum(values: Float32Array): number {
  return values.reduce((best, value) => Math.min(best, value), 1);
}
