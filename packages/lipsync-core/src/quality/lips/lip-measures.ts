import { quantile } from '../../audio/time-series.ts';
import { correlationOf, deviationOf, meanOf, valuesWhere, type FrameSound, type LipSeries } from './lip-series.ts';

/** Fewest frames of speech or pause that can be judged, in seconds. */
const fewestSeconds = 0.4;

/** A measured value, or why there is none. */
export type Measured =
  | { readonly value: number; readonly reason: null }
  | { readonly value: null; readonly reason: string };

function known(value: number): Measured {
  return Number.isFinite(value) ? { value, reason: null } : missing('The lips do not move.');
}

export function missing(reason: string): Measured {
  return { value: null, reason };
}

const tooLittleSpeech = missing('The face is visible during less than 0.4 s of speech.');
const tooFewPauses = missing('The sound has no pause in which the mouth is visible for 0.4 s.');

function isEnough(values: Float32Array, { framesPerSecond, every }: LipSeries): boolean {
  return values.length >= (fewestSeconds * framesPerSecond) / every;
}

function wideOpening({ opening }: LipSeries): number {
  return (
    quantile(
      opening.filter((value) => !Number.isNaN(value)),
      0.9,
    ) ?? NaN
  );
}

/** Standard deviation of the opening under speech. */
export function lipDynamics(lips: LipSeries, { talking }: FrameSound): Measured {
  const values = valuesWhere(lips, talking);
  return isEnough(values, lips) ? known(deviationOf(values)) : tooLittleSpeech;
}

/** Mean opening in pauses relative to the wide openings of the video. */
export function pauseOpening(lips: LipSeries, { pausing }: FrameSound): Measured {
  const wide = wideOpening(lips);
  const values = valuesWhere(lips, pausing);
  if (!isEnough(values, lips)) return tooFewPauses;
  // Relative to itself, even a closed mouth that never moves would count as wide open.
  if (deviationOf(lips.opening.filter((value) => !Number.isNaN(value))) < frozenDeviation) return known(NaN);
  return wide > 0 ? known(meanOf(values) / wide) : missing('The mouth does not open.');
}

/** Median distance of the opening in pauses from its mean: how much the lips move in silence. */
export function silentMotion(lips: LipSeries, { pausing }: FrameSound): Measured {
  const values = valuesWhere(lips, pausing);
  if (!isEnough(values, lips)) return tooFewPauses;
  const mean = meanOf(values);
  return known(
    quantile(
      values.map((value) => Math.abs(value - mean)),
      0.5,
    ) ?? NaN,
  );
}

/**
 * Mean distance of opening and amplitude under speech, each relative to its largest value, as THEval measures the
 * agreement of lips and loudness (arXiv 2511.04520).
 */
export function loudnessDistance(lips: LipSeries, { talking, levelDb }: FrameSound): Measured {
  const values = valuesWhere(lips, talking);
  if (!isEnough(values, lips)) return tooLittleSpeech;
  const amplitude = levelDb.map((level) => 10 ** (level / 20));
  const lipRange = rangeOf(lips.opening);
  const soundRange = rangeOf(amplitude);
  let [sum, count] = [0, 0];
  lips.opening.forEach((opening, frame) => {
    if (talking[frame] !== 1 || Number.isNaN(opening)) return;
    sum += Math.abs(lipRange(opening) - soundRange(amplitude[frame] ?? 0));
    count += 1;
  });
  return known(sum / count);
}

/** Maps a series to 0 … 1 by its extremes. */
function rangeOf(series: Float32Array): (value: number) => number {
  const values = series.filter((value) => !Number.isNaN(value));
  const [low, high] = [quantile(values, 0.01) ?? 0, quantile(values, 0.99) ?? 0];
  return (value) => (high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0);
}

/** A closure of p, b or m counts as certain from this strength. */
const certainClosure = 0.7;
/** Time around a closure in which the lips must close. */
const closureS = 0.06;
/** Opening relative to the wide ones at which lips count as closed. */
const closedShare = 0.35;
const fewestClosures = 3;

/** Share of the closures that the speech contains (p, b, m) at which the lips close. `closure` has a value per frame. */
export function bilabialClosure(lips: LipSeries, closure: Float32Array): Measured {
  const { opening, framesPerSecond } = lips;
  const wide = wideOpening(lips);
  const radius = Math.max(lips.every, Math.round(closureS * framesPerSecond));
  let [closed, count] = [0, 0];
  closure.forEach((strength, frame) => {
    const isPeak = strength >= (closure[frame - 1] ?? 0) && strength > (closure[frame + 1] ?? 0);
    if (strength < certainClosure || !isPeak) return;
    const around = opening
      .subarray(Math.max(0, frame - radius), frame + radius + 1)
      .filter((value) => !Number.isNaN(value));
    if (around.length === 0) return;
    count += 1;
    if (Math.min(...around) <= closedShare * wide) closed += 1;
  });
  if (count < fewestClosures)
    return missing(`The speech has fewer than ${fewestClosures} certain closures of p, b or m.`);
  return wide > 0 ? known(closed / count) : missing('The mouth does not open.');
}

/**
 * Correlation of the lips of a take with those that the source clip shows in the same frames: how much of the old mouth
 * shows through.
 */
export function lipLeak(lips: LipSeries, sourceOpening: Float32Array): Measured {
  const value = correlationOf(lips.opening, sourceOpening);
  return Number.isNaN(value) ? missing('The lips of the take or of its source do not move.') : known(value);
}

/** Share of the windows of speech in which the lips do not move. */
export function frozenSpeech(lips: LipSeries, sound: FrameSound): Measured {
  const { share } = frozenWindows(lips, sound);
  return share === null ? missing('No window of two seconds has enough speech.') : known(share);
}

/** Speech is judged in windows of this length. */
const windowS = 2;
/** A mouth that moves less than this under speech counts as frozen, in eye distances. */
const frozenDeviation = 0.016;

/** Windows of speech in which the lips do not move, as frame ranges, and their share of all windows of speech. */
export function frozenWindows(lips: LipSeries, { talking }: FrameSound) {
  const length = Math.round(windowS * lips.framesPerSecond);
  const ranges: { start: number; end: number }[] = [];
  let windows = 0;
  for (let start = 0; start < lips.opening.length; start += length) {
    const end = Math.min(lips.opening.length, start + length);
    const part = { ...lips, opening: lips.opening.subarray(start, end) };
    const values = valuesWhere(part, talking.subarray(start, end));
    if (values.length < length / lips.every / 3) continue;
    windows += 1;
    if (deviationOf(values) >= frozenDeviation) continue;
    const last = ranges.at(-1);
    if (last?.end === start) last.end = end;
    else ranges.push({ start, end });
  }
  const frozen = ranges.reduce((sum, { start, end }) => sum + Math.ceil((end - start) / length), 0);
  return { ranges, share: windows === 0 ? null : frozen / windows };
}
