import { describe, expect, it } from 'vitest';
import type { FaceTrack } from '../../face/face-types.ts';
import { faceWith } from '../../testing/face-points.ts';
import { findMostClosedMouth } from './tracked-mouths.ts';

/** A track of faces by how open they are; undefined where there is none. */
function trackOf(frameCount: number, openingAt: (frame: number) => number | undefined): FaceTrack {
  const frame: FaceTrack['frame'] = (index) => {
    const opening = openingAt(index);
    return opening === undefined
      ? { presence: 'absent', points: new Float32Array(0) }
      : { presence: 'found', points: faceWith(opening) };
  };
  return { frameCount, shotStarts: [0], absentRanges: [], cached: false, frame, close: () => undefined };
}

describe('the most closed mouth of a track', () => {
  it('is where the lips are closest together', () => {
    expect(
      findMostClosedMouth(
        trackOf(100, (frame) => Math.abs(frame - 42) / 100),
        100,
      ),
    ).toBe(42);
  });

  it('is found however late the face appears', () => {
    expect(
      findMostClosedMouth(
        trackOf(2_000, (frame) => (frame < 1_500 ? undefined : Math.abs(frame - 1_510) / 100)),
        2_000,
      ),
    ).toBe(1_510);
  });

  it('is among the early ones of a long clip, so that little is decoded for it', () => {
    expect(
      findMostClosedMouth(
        trackOf(10_000, (frame) => 1 / (frame + 1)),
        10_000,
      ),
    ).toBe(239);
  });

  it('is not among frames that are not shown, and there is none without a face', () => {
    expect(
      findMostClosedMouth(
        trackOf(100, (frame) => Math.abs(frame - 42) / 100),
        30,
      ),
    ).toBe(29);
    expect(
      findMostClosedMouth(
        trackOf(100, () => undefined),
        100,
      ),
    ).toBeUndefined();
  });
});
