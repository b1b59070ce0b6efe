import { frameTimeMs, type Timeline } from '../media/timeline.ts';
import type { MouthEstimate } from './mouth-model.ts';
import { clamp, largestNearby, limitSpeed, percentile, smooth } from './smoothing.ts';
import type { SpeechActivity } from './speech-activity.ts';
import { quietestDb, stepsPerSecond, type SpeechFeatures } from './speech-features.ts';
import type { MouthCurve } from './speech-types.ts';

/** Loudness range over which the mouth opens: this far below the speech level it stays nearly closed. */
const loudnessRangeDb = 30;
/** A jaw opens fully in about 80 ms behind a burst; lips close faster. Per step of 10 ms. */
const openingPerStep = 0.12;
const closingPerStep = 0.15;
/** Lips start to part about one frame before the sound. */
const anticipationSteps = 4;
const gateSigmaSteps = 2;
const shapeSigmaSteps = 2.5;
const closureSigmaSteps = 1;
/** Closure probabilities below the first count as none, above the second as full. */
const closureRange = [0.3, 0.7] as const;
const longestClosureSteps = 14;
/** How far to each side a closure's drop in level is looked for, and from which drop on it is believed, in part or fully. */
const dipReachSteps = 15;
const slightestDipDb = 2;
const clearDipDb = 6;
/** The opening that only the widest 3 % of the speech exceed is drawn this wide. */
const widestShare = 0.97;
const widestOpening = 0.9;
/** With no voice to follow, loudness alone moves the mouth, and this far at most. */
const widestWithoutVoice = 0.5;

type FrameTimes = Pick<Timeline, 'frameRate' | 'frameCount'>;

/** What the mouth follows, one value per analysis step. */
interface Heard extends MouthEstimate {
  readonly levelDb: Float32Array;
  /** 1 while there is speech, else 0. */
  readonly active: Float32Array;
}

/**
 * Joins what the model hears with loudness and pauses, moves it as a jaw can, and reads it off at each output frame.
 * Beyond the end of the speech the mouth closes as it does in a pause.
 */
export function drawMouthCurve(
  features: SpeechFeatures,
  activity: SpeechActivity,
  estimate: MouthEstimate,
  timeline: FrameTimes,
): MouthCurve {
  const { levelDb, active, ...mouth } = untilLastFrame(
    { ...estimate, levelDb: features.levelDb, active: Float32Array.from(activity.active) },
    timeline,
  );
  const voiced = gate(active);
  const gated = (value: number, step: number): number => value * (voiced[step] ?? 0);
  const closure = activity.voiceFound ? closures(mouth.closure, levelDb).map(gated) : new Float32Array(levelDb.length);
  const loudness = relativeLoudness(levelDb, activity);
  const wanted = activity.voiceFound
    ? openings(mouth.open, loudness, active)
    : loudness.map((value) => value * widestWithoutVoice);
  const open = limitSpeed(
    wanted.map((value, step) => gated(value, step) * (1 - (closure[step] ?? 0))),
    openingPerStep,
    closingPerStep,
  );
  const wide = activity.voiceFound
    ? smooth(mouth.wide, 1.5 * shapeSigmaSteps).map(gated)
    : new Float32Array(levelDb.length);
  return readFrames({ open, wide, closure, voiced }, timeline);
}

/** The same where a frame is still shown while the last of it is heard; else followed by the silence that is heard then. */
function untilLastFrame(heard: Heard, timeline: FrameTimes): Heard {
  const last = stepsOf(timeline.frameCount - 1, timeline);
  if (last.first < heard.active.length) return heard;
  const followed = (values: Float32Array, silent = 0): Float32Array => {
    const all = new Float32Array(last.end).fill(silent, values.length);
    all.set(values);
    return all;
  };
  return {
    open: followed(heard.open),
    wide: followed(heard.wide),
    closure: followed(heard.closure),
    levelDb: followed(heard.levelDb, quietestDb),
    active: followed(heard.active),
  };
}

/** 1 in speech, 0 in pauses, with ramps that start before the sound does. */
function gate(active: Float32Array): Float32Array {
  const opened = active.slice();
  for (let step = 0; step < active.length; step++) {
    if (active[step] === 1) opened.fill(1, Math.max(0, step - anticipationSteps), step);
  }
  return smooth(opened, gateSigmaSteps);
}

/**
 * Where the lips are pressed together: where the model says so, but only where the sound also drops against what is
 * around it, as it must behind closed lips, and no longer than a speaker holds them.
 */
function closures(probability: Float32Array, levelDb: Float32Array): Float32Array {
  const level = smooth(levelDb, 1);
  const around = largestNearby(level, dipReachSteps);
  const believed = probability.map((value, step) => {
    const dipDb = (around[step] ?? 0) - (level[step] ?? 0);
    return value * clamp((dipDb - slightestDipDb) / (clearDipDb - slightestDipDb), 0, 1);
  });
  const [none, full] = closureRange;
  return smooth(shortened(believed), closureSigmaSteps).map((value) => clamp((value - none) / (full - none), 0, 1));
}

/** Keeps of each run of likely closure the part around its highest value, `longestClosureSteps` at most. */
function shortened(probability: Float32Array): Float32Array {
  const kept = new Float32Array(probability.length);
  for (let start = 0; start < probability.length; start++) {
    if ((probability[start] ?? 0) < closureRange[0]) continue;
    let end = start;
    let peak = start;
    for (; (probability[end] ?? 0) >= closureRange[0]; end++)
      if ((probability[end] ?? 0) > (probability[peak] ?? 0)) peak = end;
    const first = clamp(peak - longestClosureSteps / 2, start, Math.max(start, end - longestClosureSteps));
    const last = Math.min(end, first + longestClosureSteps);
    kept.set(probability.subarray(first, last), first);
    start = end;
  }
  return kept;
}

function relativeLoudness(levelDb: Float32Array, { speechLevelDb, noiseLevelDb }: SpeechActivity): Float32Array {
  const quietDb = clamp(noiseLevelDb, speechLevelDb - loudnessRangeDb, speechLevelDb - loudnessRangeDb / 2);
  return smooth(
    levelDb.map((level) => clamp((level - quietDb) / (speechLevelDb - quietDb), 0, 1)),
    shapeSigmaSteps,
  );
}

/** Opening of the vowels, weighed with loudness and scaled so that this speaker's widest is close to 1. */
function openings(estimate: Float32Array, loudness: Float32Array, active: Float32Array): Float32Array {
  const opening = smooth(estimate, shapeSigmaSteps).map((value, step) => {
    const loud = loudness[step] ?? 0;
    return (0.9 * value + 0.1 * loud) * (0.3 + 0.7 * loud);
  });
  const widest = percentile(
    opening.filter((_, step) => active[step] === 1),
    widestShare,
  );
  const scale = clamp(widestOpening / Math.max(widest ?? 1, 0.01), 0.7, 1.8);
  return opening.map((value) => clamp(value * scale, 0, 1));
}

/**
 * One value per output frame, of the steps that are heard while the frame is shown. A closure shorter than a frame
 * still closes it: there the frame takes the narrowest step, not the mean.
 */
function readFrames(steps: MouthCurve, timeline: FrameTimes): MouthCurve {
  const { frameCount } = timeline;
  const frames = {
    open: new Float32Array(frameCount),
    wide: new Float32Array(frameCount),
    closure: new Float32Array(frameCount),
    voiced: new Float32Array(frameCount),
  };
  for (let frame = 0; frame < frameCount; frame++) {
    const { first, end } = stepsOf(frame, timeline);
    const closure = largest(steps.closure.subarray(first, end));
    const opening = steps.open.subarray(first, end);
    frames.open[frame] = closure * smallest(opening) + (1 - closure) * mean(opening);
    frames.wide[frame] = mean(steps.wide.subarray(first, end));
    frames.closure[frame] = closure;
    frames.voiced[frame] = mean(steps.voiced.subarray(first, end));
  }
  return frames;
}

/** The steps that are heard while a frame is shown, one at least; the end is exclusive. */
function stepsOf(frame: number, timeline: FrameTimes): { readonly first: number; readonly end: number } {
  const stepAt = (index: number): number => Math.round((frameTimeMs(timeline, index) * stepsPerSecond) / 1000);
  const first = stepAt(frame);
  return { first, end: Math.max(first + 1, stepAt(frame + 1)) };
}

function mean(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function largest(values: Float32Array): number {
  return values.reduce((best, value) => Math.max(best, value), 0);
}

function smallest(values: Float32Array): number {
  return values.reduce((best, value) => Math.min(best, value), 1);
}
