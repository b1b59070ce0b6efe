import { describe, expect, it } from 'vitest';
import type { FaceTrack } from '../../face/face-types.ts';
import { faceWith } from '../../testing/synthetic-inputs.ts';
import { measureLips } from '../../face/index.ts';
import { chooseLearningFrames } from './learning-frames.ts';

const closed = faceWith(0);
const open = faceWith(0.2);

/** A track in which `openingAt` says how the mouth stands; undefined where there is no face. Counts how often it is read. */
function trackOf(
  frameCount: number,
  openingAt: (frame: number) => Float32Array | undefined,
): { readonly track: FaceTrack; furthest: () => number } {
  let furthest = -1;
  const frame: FaceTrack['frame'] = (index) => {
    furthest = Math.max(furthest, index);
    const points = openingAt(index);
    return points ? { presence: 'found', points } : { presence: 'absent', points: new Float32Array(0) };
  };
  return {
    track: { frameCount, shotStarts: [0], absentRanges: [], cached: false, frame, close: () => undefined },
    furthest: () => furthest,
  };
}

const talking = (frame: number): Float32Array => (frame % 10 < 5 ? closed : open);

describe('the frames to learn a mouth from', () => {
  it('are spread over the first 240 when the speaker is there and talks from the start', () => {
    expect(measureLips(open).opening).toBeCloseTo(0.2, 5);
    const { track, furthest } = trackOf(100_000, talking);
    expect(chooseLearningFrames(track, 100_000)).toEqual(Array.from({ length: 40 }, (_, index) => index * 6));
    expect(furthest()).toBeLessThan(240);
  });

  it('lie where the face is, however late it appears', () => {
    const { track } = trackOf(5_000, (frame) => (frame < 3_333 ? undefined : talking(frame)));
    const chosen = chooseLearningFrames(track, 5_000);
    expect(chosen.length).toBeGreaterThanOrEqual(20);
    expect(chosen.length).toBeLessThanOrEqual(40);
    expect(chosen[0]).toBeGreaterThanOrEqual(3_333);
    expect((chosen.at(-1) ?? 0) - (chosen[0] ?? 0)).toBeLessThan(240);
  });

  it('hold an open mouth where one is shown some seconds later', () => {
    const { track } = trackOf(2_000, (frame) => (frame < 400 ? closed : talking(frame)));
    expect(chooseLearningFrames(track, 2_000).map((frame) => track.frame(frame).points)).toContain(open);
  });

  it('are the early ones when the mouth stays shut for long', () => {
    const { track, furthest } = trackOf(50_000, () => closed);
    expect(chooseLearningFrames(track, 50_000).at(-1)).toBeLessThan(240);
    expect(furthest()).toBeLessThan(1_000);
  });

  it('are the few that there are when the face is seldom found, and only among those used', () => {
    const { track } = trackOf(3_000, (frame) => (frame % 700 === 699 ? closed : undefined));
    expect(chooseLearningFrames(track, 3_000)).toEqual([699]);
    expect(chooseLearningFrames(track, 600)).toEqual([]);
  });
});
