import type { Timeline } from '../../media/index.ts';

/** Clips up to this many frames are tracked whole, so that another speech finds the same track in the cache. */
const wholeFrames = 750;

/**
 * The clip frames to follow the face through: all that the timeline shows, rounded up to few distinct lengths, so that
 * speeches of about the same length share a track while a short one does not wait for an hour of clip. End exclusive.
 */
export function trackedRange(timeline: Timeline): { readonly start: number; readonly end: number } {
  const { windowStart, windowLength } = timeline;
  const used = usedFrames(timeline);
  let length = wholeFrames;
  while (length < used) length *= 2;
  return { start: windowStart, end: windowStart + Math.min(windowLength, length) };
}

/** Frames from the window's first to the last that the timeline shows. */
export function usedFrames({ windowLength, frameCount, syncMode }: Timeline): number {
  return syncMode === 'remap' ? windowLength : Math.min(windowLength, frameCount);
}
