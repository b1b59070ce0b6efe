import type { FaceTrack } from '../face/index.ts';
import { clipFrameAt, framesPerSecond, openFrames, probeClip, type FrameRate } from '../media/index.ts';
import { MelSpectrogram, melColumnsPerSecond } from '../audio/mel-spectrogram.ts';
import { correlation } from './lip-judge.ts';
import type { MadeTake } from './wav2lip-studio.ts';

const limits = { maxDurationMs: 3_600_000, maxDimensionPx: 8192 };
const innerLipUpper = 13;
const innerLipLower = 14;
const eyeCorners = { left: 33, right: 263 };
/** Half a side of the square that is looked at, as a share of the distance between the eyes. */
const lookedAtShare = 0.08;
/** The 200 ms that a frame is made from. */
const windowMs = 200;

/** How a meter's frames lie in time. */
export interface MeterTiming {
  readonly frameRate: FrameRate;
  readonly windowStartMs: number;
  /** The first frame that is looked at. */
  readonly firstFrame?: number;
}

/** Gray that the meter model painted into each frame of a take, 0–1, from its first decoded picture to its last; NaN where there is no face. */
export async function readMeter(
  { takePath, timeline }: Pick<MadeTake, 'takePath' | 'timeline'>,
  track: FaceTrack,
): Promise<Float32Array> {
  const facts = await probeClip(takePath, { limits });
  const grays = new Float32Array(facts.frameCount).fill(NaN);
  for await (const { index, data, width } of openFrames({
    path: takePath,
    facts,
    range: { start: 0, end: facts.frameCount },
  })) {
    if (index >= timeline.frameCount) continue;
    const { presence, points } = track.frame(clipFrameAt(timeline, index) - timeline.windowStart);
    if (presence !== 'absent') grays[index] = (lumaAtMouth(data, width, points) - 16) / 219;
  }
  return grays;
}

function lumaAtMouth(luma: Uint8Array, width: number, points: Float32Array): number {
  const at = (landmark: number, axis: number): number => points[landmark * 3 + axis] ?? NaN;
  const centerX = Math.round((at(innerLipUpper, 0) + at(innerLipLower, 0)) / 2);
  const centerY = Math.round((at(innerLipUpper, 1) + at(innerLipLower, 1)) / 2);
  const reach = Math.round(Math.abs(at(eyeCorners.right, 0) - at(eyeCorners.left, 0)) * lookedAtShare);
  let sum = 0;
  let count = 0;
  for (let y = centerY - reach; y <= centerY + reach; y += 1) {
    for (let x = centerX - reach; x <= centerX + reach; x += 1) {
      sum += luma[y * width + x] ?? NaN;
      count += 1;
    }
  }
  return sum / count;
}

/** Mean of each mel column of a sound at 16 kHz, −4…4: one every 12.5 ms. */
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
 * Gray that the meter model owes to each frame when the sound that it hears begins at the frame's time and
 * `windowStartMs`, computed from times alone: the mean level over exactly 200 ms, each column lasting 12.5 ms.
 */
export function expectedMeter(
  levels: Float32Array,
  frameRate: FrameRate,
  frameCount: number,
  windowStartMs: number,
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
 * Delay of the picture against the sound, in steps of a millisecond, at which the frames from `firstFrame` on fit what was
 * heard best. Positive: the picture is late.
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
      expectedMeter(levels, frameRate, grays.length, windowStartMs - delayMs).subarray(firstFrame),
      seen,
    );
    if (r > best.r) best = { delayMs, r };
  }
  return best.delayMs;
}
