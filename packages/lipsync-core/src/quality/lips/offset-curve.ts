import { gaussianSmooth } from '../../audio/time-series.ts';
import { centralInterval, resample } from '../statistics.ts';
import type { LipSeries } from './lip-series.ts';
import type { VideoSpeech } from './video-speech.ts';

/** Agreement of lips and sound by lag. */
export interface OffsetEstimate {
  /** Correlation by lag, in steps of `lagStepMs` from −`maxLagMs`; a positive lag: the sound is ahead of the picture. */
  readonly curve: Float32Array;
  /** The lag with the highest correlation, refined between steps. */
  readonly offsetMs: number;
  readonly strength: number;
  /** Central 90 % of the lags that resampled parts of the video give, widened by `speakerMs`. */
  readonly intervalMs: readonly [number, number];
  /** Parts that were resampled. */
  readonly windows: number;
  /** Whether the correlation is highest inside the range of lags, and not at its end. */
  readonly isPeak: boolean;
}

/** A little more than 15 frames at 25 frames per second, so that an offset of 15 frames is still a peak. */
const maxLagMs = 660;
const lagStepMs = 10;
const lagCount = (2 * maxLagMs) / lagStepMs + 1;
const windowS = 1;
const fewestWindows = 4;
/** Speakers differ in how far their lips lead the sound. */
const speakerMs = 20;
/** Values per window and lag: count, sums and products of lips and sound. */
const sumsPerLag = 6;

/**
 * Correlates lip opening with the amplitude of the sound at every lag. Times are continuous: a frame stands for its
 * middle, and the sound is interpolated there, so that any frame rate is measured alike. Undefined for fewer than four
 * windows with a face: in shorter videos, foreign speech reaches a high correlation at some lag.
 */
export function estimateOffset(lips: LipSeries, speech: VideoSpeech): OffsetEstimate | undefined {
  const amplitude = amplitudeOf(speech);
  const windows = collectWindows(lips, amplitude, speech.stepsPerSecond);
  if (windows.length < fewestWindows) return undefined;
  const curve = curveOf(sumOf(windows));
  const best = peakOf(curve);
  const [low, high] = centralInterval(resample(windows, (chosen) => peakOf(curveOf(sumOf(chosen))).lagMs));
  return {
    curve,
    offsetMs: best.lagMs,
    strength: best.correlation,
    intervalMs: [Math.min(best.lagMs, low) - speakerMs, Math.max(best.lagMs, high) + speakerMs],
    windows: windows.length,
    isPeak: Math.abs(best.lagMs) < maxLagMs - lagStepMs,
  };
}

/** Amplitude relative to full scale, smoothed over about a frame. */
function amplitudeOf({ levelDb }: VideoSpeech): Float32Array {
  return gaussianSmooth(
    levelDb.map((level) => 10 ** (level / 20)),
    2,
  );
}

/** The sums of each second of the video, lag by lag. */
function collectWindows({ opening, framesPerSecond, every }: LipSeries, sound: Float32Array, stepsPerSecond: number) {
  const framesPerWindow = Math.max(1, Math.round(windowS * framesPerSecond));
  const windows: Float64Array[] = [];
  for (let start = 0; start < opening.length; start += framesPerWindow) {
    const sums = new Float64Array(lagCount * sumsPerLag);
    for (let frame = start; frame < Math.min(opening.length, start + framesPerWindow); frame += 1) {
      const value = opening[frame] ?? NaN;
      if (!Number.isNaN(value)) addFrame(sums, value, ((frame + 0.5) / framesPerSecond) * stepsPerSecond, sound);
    }
    if (2 * every * (sums[0] ?? 0) > framesPerWindow) windows.push(sums);
  }
  return windows;
}

function addFrame(sums: Float64Array, opening: number, position: number, sound: Float32Array): void {
  for (let lag = 0; lag < lagCount; lag += 1) {
    const at = position - (lag - (lagCount - 1) / 2);
    const level = valueAt(sound, at);
    const index = lag * sumsPerLag;
    sums[index] = (sums[index] ?? 0) + 1;
    sums[index + 1] = (sums[index + 1] ?? 0) + opening;
    sums[index + 2] = (sums[index + 2] ?? 0) + level;
    sums[index + 3] = (sums[index + 3] ?? 0) + opening * opening;
    sums[index + 4] = (sums[index + 4] ?? 0) + level * level;
    sums[index + 5] = (sums[index + 5] ?? 0) + opening * level;
  }
}

/** The sound at a position between steps; silence outside of it. */
function valueAt(sound: Float32Array, position: number): number {
  const step = Math.floor(position);
  const next = position - step;
  return (sound[step] ?? 0) * (1 - next) + (sound[step + 1] ?? 0) * next;
}

function sumOf(windows: readonly Float64Array[]): Float64Array {
  const total = new Float64Array(lagCount * sumsPerLag);
  for (const window of windows) addTo(total, window);
  return total;
}

function addTo(total: Float64Array, window: Float64Array): void {
  for (let index = 0; index < total.length; index += 1) total[index] = (total[index] ?? 0) + (window[index] ?? 0);
}

function curveOf(sums: Float64Array): Float32Array {
  return Float32Array.from({ length: lagCount }, (_, lag) => {
    const [n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0] = sums.subarray(lag * sumsPerLag, (lag + 1) * sumsPerLag);
    const spread = (aa - (a * a) / n) * (bb - (b * b) / n);
    return spread > 0 ? (ab - (a * b) / n) / Math.sqrt(spread) : 0;
  });
}

/** The highest point of a curve, refined by a parabola through its neighbors. */
function peakOf(curve: Float32Array): { readonly lagMs: number; readonly correlation: number } {
  let best = 0;
  curve.forEach((value, lag) => {
    if (value > (curve[best] ?? 0)) best = lag;
  });
  const [before, at, after] = [curve[best - 1], curve[best] ?? 0, curve[best + 1]];
  const bend = before === undefined || after === undefined ? 0 : before - 2 * at + after;
  const shift = bend < 0 ? ((before ?? 0) - (after ?? 0)) / (2 * bend) : 0;
  return { lagMs: (best + shift) * lagStepMs - maxLagMs, correlation: at };
}

/** The curve for reports: lags in frames at 25 frames per second. */
export function curvePoints({ curve }: OffsetEstimate): { lagFrames: number; correlation: number }[] {
  return Array.from(curve, (value, lag) => ({
    lagFrames: (lag * lagStepMs - maxLagMs) / 40,
    correlation: Math.round(value * 1000) / 1000,
  }));
}
