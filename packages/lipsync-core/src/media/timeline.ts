import type { SyncMode } from '../contract/index.ts';
import { LipsyncError } from '../errors/index.ts';
import { framesPerSecond, type ClipFacts, type FrameRate } from './media-types.ts';

/** Part of the clip to use, in clip time; the end is exclusive. */
export interface ClipWindow {
  readonly startMs?: number | undefined;
  readonly endMs?: number | undefined;
}

/** How long the output is and how clip frames are laid along it. Plain data, so that it can be handed to another process. */
export interface Timeline {
  readonly frameRate: FrameRate;
  /** Output frames: round(output duration × frame rate), at least 1. */
  readonly frameCount: number;
  readonly durationMs: number;
  readonly syncMode: SyncMode;
  /** First clip frame inside the window, and how many clip frames it holds. */
  readonly windowStart: number;
  readonly windowLength: number;
}

export interface TimelineOptions {
  readonly syncMode: SyncMode;
  readonly window?: ClipWindow;
}

/** The parts of a clip's facts that decide its timeline. */
type TimedClip = Pick<ClipFacts, 'kind' | 'frameRate' | 'frameCount' | 'durationMs'>;

/** Milliseconds at which output frame `index` is shown. */
export function frameTimeMs(timeline: Pick<Timeline, 'frameRate'>, index: number): number {
  return (index * 1000) / framesPerSecond(timeline.frameRate);
}

/**
 * Lays a clip along a speech of `speechDurationMs`. A still has no length of its own, so it lasts as long as the speech
 * in every mode. Throws `request_invalid` when the window lies outside the clip.
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

/** The clip frame shown at output frame `index`, 0 ≤ index < frameCount. */
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
      // The middle of each output frame decides, so that first and last frames are treated alike.
      return Math.floor(((index + 0.5) * windowLength) / frameCount);
  }
}

/** There and back without showing the turning frames twice: the period is two less than twice the length. */
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
  if (clip.kind === 'still') throw windowError('A still picture has no time: leave out start_ms and end_ms.');
  const frameMs = frameTimeMs(clip, 1);
  const lengthS = (clip.durationMs / 1000).toFixed(2);
  if ((startMs ?? 0) >= clip.durationMs)
    throw windowError(`start_ms lies behind the end of the clip, which lasts ${lengthS} s.`);
  // Players round durations up to a frame; a window may end where they say that the clip ends.
  if ((endMs ?? 0) > clip.durationMs + frameMs)
    throw windowError(`end_ms lies behind the end of the clip, which lasts ${lengthS} s.`);
  if (startMs !== undefined && endMs !== undefined && startMs >= endMs)
    throw windowError('end_ms must be later than start_ms.');
  const start = Math.min(framesWithin(startMs ?? 0, clip.frameRate), clip.frameCount - 1);
  const end = endMs === undefined ? clip.frameCount : Math.min(framesWithin(endMs, clip.frameRate), clip.frameCount);
  return { start, length: Math.max(1, end - start) };
}

/** round(duration × rate), in an order of operations that keeps integers exact. */
function framesWithin(durationMs: number, rate: FrameRate): number {
  return Math.round((durationMs * rate.numerator) / (rate.denominator * 1000));
}

function windowError(message: string): LipsyncError {
  return new LipsyncError('request_invalid', message);
}
