import { planTimeline, type TimelineOptions } from './timeline.ts';

export interface InputDurations {
  /** Null for a still picture, which has no length of its own. */
  readonly clipMs: number | null;
  readonly speechMs: number;
}

/** Whole milliseconds, as if each were a frame. */
const millisecondRate = { numerator: 1000, denominator: 1 };

/**
 * How long an output is going to be, to within a frame, for whoever knows of its inputs no more than how long they are.
 * Throws `request_invalid` when the window lies outside the clip. Pure.
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
