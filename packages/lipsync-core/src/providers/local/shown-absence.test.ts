import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clipFrameAt, type Timeline } from '../../media/index.ts';
import { shownAbsence } from './shown-absence.ts';

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

describe('what is shown of the frames without a face', () => {
  it('is nothing of what lies behind the part that is used', () => {
    const timeline = timelineOf('cut_off', 750, 100);
    expect(shownAbsence([{ start: 100, end: 750 }], timeline)).toEqual({ stretches: [], faceShown: true });
    expect(shownAbsence([{ start: 90, end: 750 }], timeline)).toEqual({
      stretches: [{ start: 90, end: 100, shownFrames: 10 }],
      faceShown: true,
    });
  });

  it('is everything when the face appears only behind the part that is used', () => {
    expect(shownAbsence([{ start: 0, end: 300 }], timelineOf('cut_off', 750, 100, 40)).faceShown).toBe(false);
  });

  it('counts every absent frame that some output frame shows, once', () => {
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
          const { stretches, faceShown } = shownAbsence([range], timeline);
          expect(stretches.reduce((sum, { shownFrames }) => sum + shownFrames, 0)).toBe(absent.length);
          expect(faceShown).toBe(absent.length < shown.size);
        },
      ),
    );
  });
});
