import { describe, expect, it } from 'vitest';
import type { Timeline } from '../../media/index.ts';
import { countSegments, planSegments } from './plan-segments.ts';

function timelineOf(frameCount: number, more: Partial<Timeline> = {}): Timeline {
  return {
    frameRate: { numerator: 25, denominator: 1 },
    frameCount,
    durationMs: frameCount * 40,
    syncMode: 'cut_off',
    windowStart: 0,
    windowLength: frameCount,
    ...more,
  };
}

/** Voice everywhere but in these ranges. */
function voiceExcept(frameCount: number, pauses: readonly (readonly [start: number, end: number])[]): Float32Array {
  return Float32Array.from({ length: frameCount }, (_, frame) =>
    pauses.some(([start, end]) => frame >= start && frame < end) ? 0 : 1,
  );
}

describe('countSegments', () => {
  it.each([
    { durationMs: 20_000, workers: 2, count: 1, why: 'not longer than a segment' },
    { durationMs: 120_000, workers: 1, count: 1, why: 'one worker' },
    { durationMs: 120_000, workers: 2, count: 6, why: 'as many as fit' },
    { durationMs: 120_000, workers: 4, count: 8, why: 'a multiple of the workers' },
    { durationMs: 21_000, workers: 40, count: 4, why: 'not shorter than a quarter of a segment' },
    { durationMs: 36_000_000, workers: 2, count: 200, why: 'the largest number' },
  ])('An output of $durationMs ms on $workers workers gets $count segments: $why.', ({ count, ...output }) => {
    expect(countSegments(output, { segmentMs: 20_000, workers: output.workers })).toBe(count);
  });
});

describe('planSegments', () => {
  it('A take is cut in the middle of the longest pause near each even boundary, with frames to warm up.', () => {
    const voiced = voiceExcept(1000, [
      [240, 250],
      [260, 280],
      [495, 505],
      [770, 772],
    ]);
    const segments = planSegments({ timeline: timelineOf(1000), shotStarts: [0], voiced, count: 4 });
    expect(segments).toEqual([
      { start: 0, end: 270, warmUpFrames: 0 },
      { start: 270, end: 500, warmUpFrames: 16 },
      { start: 500, end: 771, warmUpFrames: 16 },
      { start: 771, end: 1000, warmUpFrames: 16 },
    ]);
  });

  it('A shot is preferred to a pause and needs no frames to warm up; those of a pause do not reach into another shot.', () => {
    const voiced = voiceExcept(1000, [
      [240, 260],
      [665, 667],
    ]);
    const segments = planSegments({ timeline: timelineOf(1000), shotStarts: [0, 300, 660], voiced, count: 3 });
    expect(segments.map(({ start, warmUpFrames }) => [start, warmUpFrames])).toEqual([
      [0, 0],
      [300, 0],
      [660, 0],
    ]);
    const pauseOnly = planSegments({ timeline: timelineOf(1000), shotStarts: [0, 655], voiced, count: 3 });
    expect(pauseOnly.map(({ start, warmUpFrames }) => [start, warmUpFrames])).toEqual([
      [0, 0],
      [250, 16],
      [655, 0],
    ]);
  });

  it('Without a cut near a boundary the segments stay together.', () => {
    const voiced = voiceExcept(1000, [[240, 260]]);
    const segments = planSegments({ timeline: timelineOf(1000), shotStarts: [0], voiced, count: 4 });
    expect(segments.map(({ start, end }) => [start, end])).toEqual([
      [0, 250],
      [250, 1000],
    ]);
  });

  it('A loop is not cut where its end dissolves into its beginning.', () => {
    const timeline = timelineOf(1000, { syncMode: 'loop', windowLength: 500 });
    const voiced = voiceExcept(1000, [[460, 464]]);
    const segments = planSegments({ timeline, shotStarts: [0], voiced, count: 2 });
    expect(segments.map(({ start }) => start)).toEqual([0, 462]);
  });
});
