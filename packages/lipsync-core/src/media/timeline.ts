import type { SyncMode } from '../contract/index.ts';
import { framesPerSecond, type FrameRate } from './media-types.ts';

/** Part of the clip to use, in clip time; the end is exclusive. */
export interface ClipWindow {
  readonly startMs?: number;
  readonly endMs?: number;
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

/** Milliseconds at which output frame `index` is shown. */
export function frameTimeMs(timeline: Pick<Timeline, 'frameRate'>, index: number): number {
  return (index * 1000) / framesPerSecond(timeline.frameRate);
}
