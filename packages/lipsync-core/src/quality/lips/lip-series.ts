import type { VideoSpeech } from './video-speech.ts';

/** Lip opening per frame in eye distances, on the time axis of the video; NaN where it was not measured. */
export interface LipSeries {
  readonly framesPerSecond: number;
  /** The first of so many frames was measured. */
  readonly every: number;
  readonly opening: Float32Array;
}

/** What the sound does in a frame. */
export interface FrameSound {
  /** 1 in speech. */
  readonly talking: Uint8Array;
  /** 1 in the middle of pauses, where a mouth has had time to close and not yet begun to open. */
  readonly pausing: Uint8Array;
  /** Level at the middle of the frame, dBFS. */
  readonly levelDb: Float32Array;
}

/** Pauses shorter than this are part of the speech. */
const shortestPauseS = 0.3;
/** Time at each end of a pause in which the mouth may still move. */
const pauseEdgeS = 0.12;
const silenceDb = -160;

/** Samples the sound at the middle of each frame. */
export function soundAtFrames(speech: VideoSpeech, frameCount: number, framesPerSecond: number): FrameSound {
  const { active, levelDb, stepsPerSecond } = speech;
  const stepAt = (frame: number): number => Math.floor(((frame + 0.5) / framesPerSecond) * stepsPerSecond);
  const inPause = pauseSteps(active, stepsPerSecond);
  const frames = { length: frameCount };
  return {
    talking: Uint8Array.from(frames, (_, frame) => active[stepAt(frame)] ?? 0),
    pausing: Uint8Array.from(frames, (_, frame) => inPause[stepAt(frame)] ?? 1),
    levelDb: Float32Array.from(frames, (_, frame) => levelDb[stepAt(frame)] ?? silenceDb),
  };
}

function pauseSteps(active: Uint8Array, stepsPerSecond: number): Uint8Array {
  const found = new Uint8Array(active.length);
  const edge = Math.round(pauseEdgeS * stepsPerSecond);
  let start = 0;
  for (let step = 0; step <= active.length; step += 1) {
    if (step < active.length && active[step] === 0) continue;
    if (step - start >= shortestPauseS * stepsPerSecond)
      found.fill(1, start + edge, Math.max(start + edge, step - edge));
    start = step + 1;
  }
  return found;
}

/** The openings of the frames with a flag, without those that were not measured. */
export function valuesWhere({ opening }: LipSeries, flags: Uint8Array): Float32Array {
  return opening.filter((value, frame) => flags[frame] === 1 && !Number.isNaN(value));
}

export function meanOf(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function deviationOf(values: Float32Array): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

/** Pearson correlation of two series in the frames in which both are known; NaN for fewer than ten or a constant. */
export function correlationOf(first: Float32Array, second: Float32Array): number {
  let [n, a, b, aa, bb, ab] = [0, 0, 0, 0, 0, 0];
  first.forEach((x, index) => {
    const y = second[index] ?? NaN;
    if (Number.isNaN(x) || Number.isNaN(y)) return;
    n += 1;
    a += x;
    b += y;
    aa += x * x;
    bb += y * y;
    ab += x * y;
  });
  const spread = (aa - (a * a) / n) * (bb - (b * b) / n);
  return n >= 10 && spread > 0 ? (ab - (a * b) / n) / Math.sqrt(spread) : NaN;
}
