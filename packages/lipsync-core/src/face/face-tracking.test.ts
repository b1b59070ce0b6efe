import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clipFrameAt, type Timeline } from '../media/index.ts';
import { findShownAbsence } from './face-tracking.ts';

const frameRate = { numerator: 25, denominator: 1 };

function timelineOf(
  syncMode: Timeline['syncMode'],
  windowLength: number,
  frameCount: number,
  windowStart = 0,
): Timeline {
  return { frameRate, frameCount, durationMs: frameCount * 40, syncMode, windowStart, windowLength };
}

const anyTimeline = fc.record({
  syncMode: fc.constantFrom('loop', 'bounce', 'remap', 'silence' as const),
  windowLength: fc.integer({ min: 1, max: 60 }),
  more: fc.integer({ min: 1, max: 200 }),
  windowStart: fc.integer({ min: 0, max: 50 }),
});

describe('findShownAbsence', () => {
  it('Absent frames after the used part of the clip are not reported.', () => {
    const timeline = timelineOf('cut_off', 750, 100);
    expect(findShownAbsence([{ start: 100, end: 750 }], timeline)).toEqual({ ranges: [], isFaceShown: true });
    expect(findShownAbsence([{ start: 90, end: 750 }], timeline)).toEqual({
      ranges: [{ start: 90, end: 100, shownFrames: 10 }],
      isFaceShown: true,
    });
  });

  it('No face is shown when it appears only after the used part of the clip.', () => {
    expect(findShownAbsence([{ start: 0, end: 300 }], timelineOf('cut_off', 750, 100, 40)).isFaceShown).toBe(false);
  });

  it('Every absent frame that an output frame shows is counted once.', () => {
    fc.assert(
      fc.property(
        anyTimeline,
        fc.nat(59),
        fc.integer({ min: 1, max: 60 }),
        ({ syncMode, windowLength, more, windowStart }, start, length) => {
          fc.pre(start < windowLength);
          const timeline = timelineOf(
            syncMode,
            windowLength,
            syncMode === 'silence' ? windowLength + more : more,
            windowStart,
          );
          const range = { start, end: Math.min(windowLength, start + length) };
          const shown = new Set(
            Array.from({ length: timeline.frameCount }, (_, index) => clipFrameAt(timeline, index) - windowStart),
          );
          const absent = [...shown].filter((frame) => frame >= range.start && frame < range.end);
          const { ranges, isFaceShown } = findShownAbsence([range], timeline);
          expect(ranges.reduce((sum, { shownFrames }) => sum + shownFrames, 0)).toBe(absent.length);
          expect(isFaceShown).toBe(absent.length < shown.size);
        },
      ),
    );
  });
});
