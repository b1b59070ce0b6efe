import { describe, expect, it } from 'vitest';
import { scriptedTrack } from '../../../testing/scripted-track.ts';
import { faceWith } from '../../../testing/synthetic-inputs.ts';
import { findMostClosedMouth } from './tracked-mouths.ts';

/** A track with the given lip openings; undefined for a frame without a face. */
function trackOf(frameCount: number, openingAt: (frame: number) => number | undefined) {
  return scriptedTrack(frameCount, (index) => {
    const opening = openingAt(index);
    return opening === undefined ? undefined : faceWith(opening);
  });
}

describe('findMostClosedMouth', () => {
  it('The frame with the smallest lip opening is found.', async () => {
    expect(
      await findMostClosedMouth(
        trackOf(100, (frame) => Math.abs(frame - 42) / 100),
        100,
      ),
    ).toBe(42);
  });

  it('A face that appears late in the track is found.', async () => {
    expect(
      await findMostClosedMouth(
        trackOf(2_000, (frame) => (frame < 1_500 ? undefined : Math.abs(frame - 1_510) / 100)),
        2_000,
      ),
    ).toBe(1_510);
  });

  it('Only the first detected faces of a long track are searched.', async () => {
    expect(
      await findMostClosedMouth(
        trackOf(10_000, (frame) => 1 / (frame + 1)),
        10_000,
      ),
    ).toBe(239);
  });

  it('Frames beyond frameCount are ignored, and a track without a face yields undefined.', async () => {
    expect(
      await findMostClosedMouth(
        trackOf(100, (frame) => Math.abs(frame - 42) / 100),
        30,
      ),
    ).toBe(29);
    expect(
      await findMostClosedMouth(
        trackOf(100, () => undefined),
        100,
      ),
    ).toBeUndefined();
  });
});
