import { framesPerSecond, type Timeline } from '../../media/index.ts';

/** A stretch of speech in the output, with the output frames that represent it, ascending. */
export interface SpeechWindow {
  readonly startFrame: number;
  /** Exclusive. */
  readonly endFrame: number;
  readonly samples: readonly number[];
}

const largestWindowCount = 10;
const samplesPerWindow = 5;
/** Speech at which a frame counts as voiced, and the least voiced time that can be judged. */
const voicedLevel = 0.5;
const minimumVoicedMs = 500;
/** Frames after this one are not sampled, because they are reached by decoding all before them. */
const lastSampledFrame = 7_500;

/**
 * Divides the speech of the output into up to ten windows and picks five frames in the middle second of each. `voiced`
 * has one value per output frame. Empty when the output has too little speech.
 */
export function planSpeechWindows(voiced: Float32Array, timeline: Pick<Timeline, 'frameRate'>): SpeechWindow[] {
  const rate = framesPerSecond(timeline.frameRate);
  const frames: number[] = [];
  voiced.subarray(0, lastSampledFrame).forEach((value, frame) => {
    if (value >= voicedLevel) frames.push(frame);
  });
  if (frames.length * 1000 < minimumVoicedMs * rate) return [];
  const count = Math.min(largestWindowCount, Math.max(1, Math.round(frames.length / rate)));
  return Array.from({ length: count }, (_, index) => {
    const part = frames.slice(
      Math.floor((index * frames.length) / count),
      Math.floor(((index + 1) * frames.length) / count),
    );
    return { startFrame: part[0] ?? 0, endFrame: (part.at(-1) ?? 0) + 1, samples: pickSamples(part, rate) };
  });
}

function pickSamples(frames: readonly number[], rate: number): readonly number[] {
  const length = Math.min(frames.length, Math.round(rate));
  const first = (frames.length - length) / 2;
  const picked = Array.from(
    { length: samplesPerWindow },
    (_, index) => frames[Math.floor(first + ((index + 0.5) * length) / samplesPerWindow)] ?? 0,
  );
  return [...new Set(picked)];
}
