import type { FaceTrack } from '../face/index.ts';
import { clipFrameAt, framesPerSecond, openFrames, probeClip, type FrameRate } from '../media/index.ts';
import { MelSpectrogram, melColumnsPerSecond } from '../audio/mel-spectrogram.ts';
import type { MadeTake } from './wav2lip-harness.ts';

const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 8192 };
const innerLipUpper = 13;
const innerLipLower = 14;
const eyeCorners = { left: 33, right: 263 };
/** Half the side of the sampled square at the lips, as a share of the eye distance. */
const sampleRadius = 0.08;
/** Length of a mel chunk. */
const windowMs = 200;

/** Timing of the frames of a take by the meter model. */
export interface MeterTiming {
  readonly frameRate: FrameRate;
  readonly windowStartMs: number;
  /** The first evaluated frame. Defaults to 0. */
  readonly firstFrame?: number;
}

/** Gray level, 0 to 1, that the meter model wrote to each frame of a take; NaN for frames without a face. */
export async function readMeter(
  { takePath, timeline }: Pick<MadeTake, 'takePath' | 'timeline'>,
  track: FaceTrack,
): Promise<Float32Array> {
  const facts = await probeClip(takePath, { limits });
  const levels = new Float32Array(facts.frameCount).fill(NaN);
  for await (const { index, data, width } of openFrames({
    path: takePath,
    facts,
    range: { start: 0, end: facts.frameCount },
  })) {
    if (index >= timeline.frameCount) continue;
    const { presence, points } = track.frame(clipFrameAt(timeline, index) - timeline.windowStart);
    if (presence !== 'absent') levels[index] = (lumaAtMouth(data, width, points) - 16) / 219;
  }
  return levels;
}

function lumaAtMouth(luma: Uint8Array, width: number, points: Float32Array): number {
  const at = (landmark: number, axis: number): number => points[landmark * 3 + axis] ?? NaN;
  const centerX = Math.round((at(innerLipUpper, 0) + at(innerLipLower, 0)) / 2);
  const centerY = Math.round((at(innerLipUpper, 1) + at(innerLipLower, 1)) / 2);
  const radius = Math.round(Math.abs(at(eyeCorners.right, 0) - at(eyeCorners.left, 0)) * sampleRadius);
  let sum = 0;
  let count = 0;
  for (let y = centerY - radius; y <= centerY + radius; y += 1) {
    for (let x = centerX - radius; x <= centerX + radius; x += 1) {
      sum += luma[y * width + x] ?? NaN;
      count += 1;
    }
  }
  return sum / count;
}

/** Mean of each mel column of 16 kHz samples, −4 to 4; one column per 12.5 ms. */
export function melLevels(samples: Float32Array): Float32Array {
  const levels: number[] = [];
  const spectrogram = new MelSpectrogram((column) =>
    levels.push(column.reduce((sum, value) => sum + value, 0) / column.length),
  );
  spectrogram.push(samples);
  spectrogram.finish();
  return Float32Array.from(levels);
}

/**
 * Expected gray level of the meter model per frame: the mean mel level over exactly 200 ms that start `windowStartMs`
 * after the frame time, computed in continuous time with columns of 12.5 ms.
 */
export function expectedMeter(
  levels: Float32Array,
  frameCount: number,
  { frameRate, windowStartMs }: MeterTiming,
): Float32Array {
  return Float32Array.from({ length: frameCount }, (_, frame) => {
    const start = ((frame / framesPerSecond(frameRate)) * 1000 + windowStartMs) * (melColumnsPerSecond / 1000);
    const columns = windowMs * (melColumnsPerSecond / 1000);
    let sum = 0;
    for (let column = Math.floor(start); column < start + columns; column += 1) {
      const overlap = Math.min(column + 1, start + columns) - Math.max(column, start);
      sum += overlap * (levels[column] ?? -4);
    }
    return sum / columns / 8 + 0.5;
  });
}

/**
 * Delay of the picture relative to the speech with the highest correlation, in 1 ms steps, ±60 ms. Positive when the
 * picture is late.
 */
export function meterDelayMs(
  grays: Float32Array,
  levels: Float32Array,
  { frameRate, windowStartMs, firstFrame = 0 }: MeterTiming,
): number {
  const seen = grays.subarray(firstFrame);
  let best = { delayMs: 0, r: -Infinity };
  for (let delayMs = -60; delayMs <= 60; delayMs += 1) {
    const r = correlation(
      expectedMeter(levels, grays.length, { frameRate, windowStartMs: windowStartMs - delayMs }).subarray(firstFrame),
      seen,
    );
    if (r > best.r) best = { delayMs, r };
  }
  return best.delayMs;
}

/**
 * Root mean square of the samples during each output frame, [i / frameRate, (i + 1) / frameRate); 0 after their end.
 * `frameRate` is in frames per second.
 */
export function energyPerFrame(
  samples: Float32Array,
  sampleRateHz: number,
  frameRate: number,
  frameCount: number,
): Float32Array {
  return Float32Array.from({ length: frameCount }, (_, frame) => {
    const start = Math.round((frame * sampleRateHz) / frameRate);
    const end = Math.round(((frame + 1) * sampleRateHz) / frameRate);
    const part = samples.subarray(start, end);
    const power = part.reduce((sum, sample) => sum + sample * sample, 0);
    return part.length === 0 ? 0 : Math.sqrt(power / part.length);
  });
}

/**
 * Pearson correlation of two series of equal length; 0 when either is constant. Throws a RangeError for other lengths.
 */
export function correlation(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`Cannot correlate ${a.length} values with ${b.length} values.`);
  const meanA = a.reduce((sum, value) => sum + value, 0) / a.length;
  const meanB = b.reduce((sum, value) => sum + value, 0) / b.length;
  let product = 0;
  let squareA = 0;
  let squareB = 0;
  a.forEach((value, i) => {
    const fromMeanA = value - meanA;
    const fromMeanB = (b[i] ?? 0) - meanB;
    product += fromMeanA * fromMeanB;
    squareA += fromMeanA ** 2;
    squareB += fromMeanB ** 2;
  });
  return squareA === 0 || squareB === 0 ? 0 : product / Math.sqrt(squareA * squareB);
}

/**
 * The lag of `b` relative to `a` with the highest correlation, within ±`maxLag` steps. A positive lag means that `b` is
 * later: b[i + lag] corresponds to a[i].
 */
export function bestLag(
  a: Float32Array,
  b: Float32Array,
  maxLag: number,
): { readonly lag: number; readonly r: number } {
  let best = { lag: 0, r: Number.NEGATIVE_INFINITY };
  for (let lag = -maxLag; lag <= maxLag; lag++) {
    const start = Math.max(0, -lag);
    const end = Math.min(a.length, b.length - lag);
    const r = end - start < 2 ? 0 : correlation(a.subarray(start, end), b.subarray(start + lag, end + lag));
    if (r > best.r) best = { lag, r };
  }
  return best;
}
