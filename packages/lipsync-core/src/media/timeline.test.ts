import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { syncModes, type SyncMode } from '../contract/index.ts';
import type { ClipFacts, FrameRate } from './media-types.ts';
import { clipFrameAt, frameTimeMs, planTimeline, seamFrameAt, type Timeline } from './timeline.ts';

type TimedClip = Pick<ClipFacts, 'kind' | 'frameRate' | 'frameCount' | 'durationMs'>;

const rates: readonly FrameRate[] = [
  { numerator: 24000, denominator: 1001 },
  { numerator: 24, denominator: 1 },
  { numerator: 25, denominator: 1 },
  { numerator: 30000, denominator: 1001 },
  { numerator: 50, denominator: 1 },
  { numerator: 120, denominator: 1 },
];

function videoOf(frameCount: number, frameRate: FrameRate = { numerator: 25, denominator: 1 }): TimedClip {
  return { kind: 'video', frameRate, frameCount, durationMs: frameTimeMs({ frameRate }, frameCount) };
}

function shown(timeline: Timeline): number[] {
  return Array.from({ length: timeline.frameCount }, (_, index) => clipFrameAt(timeline, index));
}

const clips = fc
  .record({ frameRate: fc.constantFrom(...rates), frameCount: fc.integer({ min: 1, max: 400 }) })
  .map(({ frameRate, frameCount }) => videoOf(frameCount, frameRate));
const speechMs = fc.double({ min: 1, max: 20_000, noNaN: true });

function forEveryPlan(mode: SyncMode, check: (timeline: Timeline, clip: TimedClip, durationMs: number) => void): void {
  fc.assert(
    fc.property(clips, speechMs, (clip, durationMs) => {
      check(planTimeline(clip, durationMs, { syncMode: mode }), clip, durationMs);
    }),
  );
}

function roundedFrames(durationMs: number, { numerator, denominator }: FrameRate): number {
  return Math.max(1, Math.round((durationMs * numerator) / (denominator * 1000)));
}

describe('planTimeline', () => {
  it.each(syncModes)('The mode %s shows only frames of the window, for exactly the frame count.', (mode) => {
    forEveryPlan(mode, (timeline, clip) => {
      const frames = shown(timeline);
      expect(frames.length).toBeGreaterThanOrEqual(1);
      expect(Math.min(...frames)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...frames)).toBeLessThan(clip.frameCount);
      expect(timeline.durationMs).toBeCloseTo(frameTimeMs(clip, timeline.frameCount), 6);
    });
  });

  it.each(['loop', 'bounce', 'remap'] as const)('The mode %s lasts round(speech × rate) frames.', (mode) => {
    forEveryPlan(mode, (timeline, clip, durationMs) =>
      expect(timeline.frameCount).toBe(roundedFrames(durationMs, clip.frameRate)),
    );
  });

  it('The mode cut_off ends with the shorter of clip and speech.', () => {
    forEveryPlan('cut_off', (timeline, clip, durationMs) =>
      expect(timeline.frameCount).toBe(Math.min(clip.frameCount, roundedFrames(durationMs, clip.frameRate))),
    );
  });

  it('The mode silence ends with the longer of clip and speech and holds the last frame.', () => {
    forEveryPlan('silence', (timeline, clip, durationMs) => {
      expect(timeline.frameCount).toBe(Math.max(clip.frameCount, roundedFrames(durationMs, clip.frameRate)));
      expect(clipFrameAt(timeline, timeline.frameCount - 1)).toBe(clip.frameCount - 1);
    });
  });

  it('The mode remap never goes backwards and reaches both ends of the clip if the output is longer.', () => {
    forEveryPlan('remap', (timeline, clip) => {
      const frames = shown(timeline);
      expect(frames.every((frame, index) => index === 0 || frame >= (frames[index - 1] ?? 0))).toBe(true);
      if (timeline.frameCount >= clip.frameCount) expect([frames[0], frames.at(-1)]).toEqual([0, clip.frameCount - 1]);
    });
  });

  it('The mode bounce moves by exactly one frame and never repeats a turning frame.', () => {
    forEveryPlan('bounce', (timeline, clip) => {
      const frames = shown(timeline);
      const steps = frames.slice(1).map((frame, index) => Math.abs(frame - (frames[index] ?? 0)));
      expect(steps.every((step) => step === (clip.frameCount === 1 ? 0 : 1))).toBe(true);
    });
  });

  it('The mode loop restarts after the last frame.', () => {
    expect(shown(planTimeline(videoOf(3), 280, { syncMode: 'loop' }))).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });

  it('The mode bounce turns at both ends.', () => {
    expect(shown(planTimeline(videoOf(3), 320, { syncMode: 'bounce' }))).toEqual([0, 1, 2, 1, 0, 1, 2, 1]);
  });

  it('A still lasts as long as the speech in every mode.', () => {
    const still: TimedClip = { ...videoOf(1), kind: 'still' };
    for (const syncMode of syncModes) expect(shown(planTimeline(still, 400, { syncMode }))).toEqual(Array(10).fill(0));
  });
});

describe('Clip window', () => {
  const plan = (startMs?: number, endMs?: number, clip = videoOf(100)): Timeline =>
    planTimeline(clip, 10_000, { syncMode: 'cut_off', window: { startMs, endMs } });

  it('A window selects the frames between its ends.', () => {
    expect(plan(1_000, 3_000)).toMatchObject({ windowStart: 25, windowLength: 50 });
  });

  it('A window without an end extends to the end of the clip.', () => {
    expect(plan(1_000)).toMatchObject({ windowStart: 25, windowLength: 75 });
  });

  it('A window may end exactly with the clip.', () => {
    expect(plan(0, 4_000)).toMatchObject({ windowStart: 0, windowLength: 100 });
  });

  it('A window contains at least one frame.', () => {
    expect(plan(1_000, 1_001)).toMatchObject({ windowStart: 25, windowLength: 1 });
  });

  it.each([
    ['starts at the end of the clip', 4_000, undefined],
    ['ends after the clip', 0, 4_041],
    ['ends before it starts', 2_000, 1_000],
    ['is empty', 2_000, 2_000],
  ])('A window is rejected when it %s.', (_, startMs, endMs) => {
    expect(() => plan(startMs, endMs)).toThrow(expect.objectContaining({ code: 'request_invalid' }));
  });

  it('A window is rejected for a still.', () => {
    expect(() => plan(0, 10, { ...videoOf(1), kind: 'still' })).toThrow(
      expect.objectContaining({ code: 'request_invalid' }),
    );
  });
});

describe('seamFrameAt', () => {
  const seamsOf = (timeline: Timeline): (number | undefined)[] =>
    Array.from({ length: timeline.frameCount }, (_, index) => seamFrameAt(timeline, index)?.clipFrame);

  it('The last four frames of a loop are dissolved with the first one, and the first four of the next with the last.', () => {
    const seams = seamsOf(planTimeline(videoOf(50), 4_000, { syncMode: 'loop' }));
    expect(seams.slice(45, 55)).toEqual([undefined, 0, 0, 0, 0, 49, 49, 49, 49, undefined]);
    expect(seams.filter((clipFrame) => clipFrame !== undefined)).toHaveLength(8);
  });

  it('The opacity of the next pass grows in equal steps over a seam.', () => {
    const timeline = planTimeline(videoOf(50), 4_000, { syncMode: 'loop' });
    const ofNext = [46, 47, 48, 49, 50, 51, 52, 53].map((index) => {
      const weight = seamFrameAt(timeline, index)?.weight ?? NaN;
      return index < 50 ? weight : 1 - weight;
    });
    for (const [step, weight] of ofNext.entries()) expect(weight).toBeCloseTo((step + 1) / 9, 6);
  });

  it.each(syncModes.filter((mode) => mode !== 'loop'))('Mode %s has no seams.', (mode) => {
    expect(seamsOf(planTimeline(videoOf(50), 4_000, { syncMode: mode })).every((seam) => seam === undefined)).toBe(
      true,
    );
  });

  it('At most a quarter of a window is dissolved, its output frames keep their own picture for the most part, and its end is no seam.', () => {
    forEveryPlan('loop', (timeline) => {
      const seams = Array.from({ length: timeline.frameCount }, (_, index) => seamFrameAt(timeline, index));
      expect(seams.slice(0, timeline.windowLength).filter(Boolean).length).toBeLessThanOrEqual(
        timeline.windowLength / 8,
      );
      expect(seams.every((seam) => seam === undefined || (seam.weight > 0 && seam.weight < 0.5))).toBe(true);
      if (timeline.frameCount <= timeline.windowLength) expect(seams.every((seam) => seam === undefined)).toBe(true);
    });
  });
});
