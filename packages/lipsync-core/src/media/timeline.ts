import type { SyncMode } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { framesPerSecond, type ClipFacts, type FrameRate } from './media-types.ts';

/** The part of a clip to use, in the time that a player displays; the end is exclusive. */
export interface ClipWindow {
  readonly startMs?: number | undefined;
  readonly endMs?: number | undefined;
}

/** The length of the output and the clip frame of each output frame. Plain data: it crosses process boundaries. */
export interface Timeline {
  readonly frameRate: FrameRate;
  /** Output frames: round(output duration × frame rate), at least 1. */
  readonly frameCount: number;
  readonly durationMs: number;
  readonly syncMode: SyncMode;
  /** First clip frame of the window and number of clip frames in it. */
  readonly windowStart: number;
  readonly windowLength: number;
}

export interface TimelineOptions {
  readonly syncMode: SyncMode;
  readonly window?: ClipWindow;
}

/** The properties of a clip that determine its timeline. */
type TimedClip = Pick<ClipFacts, 'kind' | 'frameRate' | 'frameCount' | 'durationMs' | 'startMs'>;

/** Time at which output frame `index` is shown, in milliseconds. */
export function frameTimeMs(timeline: Pick<Timeline, 'frameRate'>, index: number): number {
  return (index * 1000) / framesPerSecond(timeline.frameRate);
}

/**
 * Plans the output for a clip and speech audio of `speechDurationMs`. A still lasts as long as the audio in every mode.
 * Throws `request_invalid` when the window is outside the clip.
 */
export function planTimeline(clip: TimedClip, speechDurationMs: number, options: TimelineOptions): Timeline {
  const window = windowFrames(clip, options.window ?? {});
  const speechFrames = Math.max(1, framesWithin(speechDurationMs, clip.frameRate));
  const frameCount = clip.kind === 'still' ? speechFrames : outputFrames(options.syncMode, speechFrames, window.length);
  return {
    frameRate: clip.frameRate,
    frameCount,
    durationMs: frameTimeMs(clip, frameCount),
    syncMode: options.syncMode,
    windowStart: window.start,
    windowLength: window.length,
  };
}

/** Returns the clip frame of output frame `index`, 0 ≤ index < frameCount. */
export function clipFrameAt(timeline: Timeline, index: number): number {
  return timeline.windowStart + offsetInWindow(timeline, index);
}

function offsetInWindow({ syncMode, windowLength, frameCount }: Timeline, index: number): number {
  switch (syncMode) {
    case 'loop':
      return index % windowLength;
    case 'bounce':
      return bounceOffset(index, windowLength);
    case 'cut_off':
    case 'silence':
      return Math.min(index, windowLength - 1);
    case 'remap':
      // Sampled at the middle of each output frame, so that both ends are treated alike.
      return Math.floor(((index + 0.5) * windowLength) / frameCount);
  }
}

/** Time over which the end of the window dissolves into its beginning, and its largest share of the window. */
const seamMs = 320;
const largestSeamShare = 0.25;

/** The other picture of an output frame at the seam of a loop. */
export interface SeamFrame {
  readonly clipFrame: number;
  /** Its opacity over the frame's own picture; below 0.5. */
  readonly weight: number;
}

/**
 * Returns the clip frame that output frame `index` is dissolved with, or undefined away from the seams of a loop.
 * Before a seam this is the first frame of the window and behind it the last one, so that a clip that ends elsewhere
 * than it began does not jump.
 */
export function seamFrameAt(timeline: Timeline, index: number): SeamFrame | undefined {
  const { syncMode, windowStart, windowLength, frameCount, frameRate } = timeline;
  if (syncMode !== 'loop') return undefined;
  const wanted = Math.round((seamMs * framesPerSecond(frameRate)) / 2000);
  const half = Math.min(Math.max(1, wanted), Math.floor((windowLength * largestSeamShare) / 2));
  const offset = index % windowLength;
  const toSeam = windowLength - offset;
  if (toSeam <= half && index + toSeam < frameCount)
    return { clipFrame: windowStart, weight: (half - toSeam + 1) / (2 * half + 1) };
  if (index >= windowLength && offset < half)
    return { clipFrame: windowStart + windowLength - 1, weight: (half - offset) / (2 * half + 1) };
  return undefined;
}

/** Forth and back without repeating the turning frames, so the period is twice the length minus two. */
function bounceOffset(index: number, length: number): number {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const position = index % period;
  return position < length ? position : period - position;
}

function outputFrames(syncMode: SyncMode, speechFrames: number, windowLength: number): number {
  switch (syncMode) {
    case 'loop':
    case 'bounce':
    case 'remap':
      return speechFrames;
    case 'cut_off':
      return Math.min(speechFrames, windowLength);
    case 'silence':
      return Math.max(speechFrames, windowLength);
  }
}

function windowFrames(clip: TimedClip, { startMs, endMs }: ClipWindow): { start: number; length: number } {
  if (startMs === undefined && endMs === undefined) return { start: 0, length: clip.frameCount };
  if (clip.kind === 'still') throw windowError('A still image has no duration. Remove start_ms and end_ms.');
  const frameMs = frameTimeMs(clip, 1);
  const { startMs: firstMs = 0 } = clip;
  const lastMs = firstMs + clip.durationMs;
  const lengthS = (lastMs / 1000).toFixed(2);
  if ((startMs ?? 0) >= lastMs)
    throw windowError(`start_ms is after the end of the clip (${lengthS} s). Use a smaller value.`);
  // Players round durations up to a frame, so a window may end at the displayed duration.
  if ((endMs ?? 0) > lastMs + frameMs)
    throw windowError(`end_ms is after the end of the clip (${lengthS} s). Use a smaller value.`);
  if (startMs !== undefined && endMs !== undefined && startMs >= endMs)
    throw windowError('end_ms must be later than start_ms.');
  if (endMs !== undefined && endMs <= firstMs)
    throw windowError(
      `end_ms is before the first picture of the clip (${(firstMs / 1000).toFixed(2)} s). Use a larger value.`,
    );
  const frameAt = (timeMs: number): number => Math.max(0, framesWithin(timeMs - firstMs, clip.frameRate));
  const start = Math.min(frameAt(startMs ?? 0), clip.frameCount - 1);
  const end = endMs === undefined ? clip.frameCount : Math.min(frameAt(endMs), clip.frameCount);
  return { start, length: Math.max(1, end - start) };
}

/** round(duration × rate), ordered so that integers stay exact. */
function framesWithin(durationMs: number, rate: FrameRate): number {
  return Math.round((durationMs * rate.numerator) / (rate.denominator * 1000));
}

function windowError(message: string): LipsyncError {
  return new LipsyncError('request_invalid', message);
}

export interface InputDurations {
  /** Null for a still image. */
  readonly clipMs: number | null;
  readonly speechMs: number;
}

/** One frame per millisecond. */
const millisecondRate = { numerator: 1000, denominator: 1 };

/**
 * Returns the duration of the output to within one frame when only the durations of the inputs are known. Throws
 * `request_invalid` when the window is outside the clip.
 */
export function outputDurationMs({ clipMs, speechMs }: InputDurations, options: TimelineOptions): number {
  const durationMs = clipMs ?? 0;
  const clip = {
    kind: clipMs === null ? 'still' : 'video',
    frameRate: millisecondRate,
    frameCount: Math.max(1, Math.round(durationMs)),
    durationMs,
  } as const;
  return planTimeline(clip, speechMs, options).durationMs;
}
