import { describe, expect, it } from 'vitest';
import { scriptedTrack } from '../../testing/scripted-track.ts';
import { faceWith } from '../../testing/synthetic-inputs.ts';
import { measureLips } from '../../face/index.ts';
import { selectReferenceFrames } from './reference-frames.ts';

const closed = faceWith(0);
const open = faceWith(0.2);

/** A scripted track, and the last frame that was read. */
function trackOf(
  frameCount: number,
  pointsAt: (frame: number) => Float32Array | undefined,
): { readonly track: ReturnType<typeof scriptedTrack>; lastRead: () => number } {
  let lastRead = -1;
  const track = scriptedTrack(frameCount, (index) => {
    lastRead = Math.max(lastRead, index);
    return pointsAt(index);
  });
  return { track, lastRead: () => lastRead };
}

const talking = (frame: number): Float32Array => (frame % 10 < 5 ? closed : open);

describe('selectReferenceFrames', () => {
  it('The frames are spread over the first 240 when the speaker talks from the start.', async () => {
    expect(measureLips(open).opening).toBeCloseTo(0.2, 5);
    const { track, lastRead } = trackOf(100_000, talking);
    expect(await selectReferenceFrames(track, 100_000)).toEqual(Array.from({ length: 40 }, (_, index) => index * 6));
    expect(lastRead()).toBeLessThan(240);
  });

  it('The frames lie where the face appears, even late in the clip.', async () => {
    const { track } = trackOf(5_000, (frame) => (frame < 3_333 ? undefined : talking(frame)));
    const chosen = await selectReferenceFrames(track, 5_000);
    expect(chosen.length).toBeGreaterThanOrEqual(20);
    expect(chosen.length).toBeLessThanOrEqual(40);
    expect(chosen[0]).toBeGreaterThanOrEqual(3_333);
    expect((chosen.at(-1) ?? 0) - (chosen[0] ?? 0)).toBeLessThan(240);
  });

  it('The frames include an open mouth that is shown some seconds later.', async () => {
    const { track } = trackOf(2_000, (frame) => (frame < 400 ? closed : talking(frame)));
    const chosen = await selectReferenceFrames(track, 2_000);
    expect(chosen.map((frame) => track.frame(frame).points)).toContain(open);
  });

  it('The early frames are selected when the mouth stays closed for long.', async () => {
    const { track, lastRead } = trackOf(50_000, () => closed);
    expect((await selectReferenceFrames(track, 50_000)).at(-1)).toBeLessThan(240);
    expect(lastRead()).toBeLessThan(1_000);
  });

  it('Frames with a hidden mouth are not selected.', async () => {
    const { track } = trackOf(200, talking);
    const covered = { ...track, visibility: (frame: number) => (frame >= 40 && frame < 160 ? 0 : 1) };
    const selected = await selectReferenceFrames(covered, 200);
    expect(selected.length).toBeGreaterThan(20);
    expect(selected.filter((frame) => frame >= 40 && frame < 160)).toEqual([]);
  });

  it('A rarely found face gives few frames, and only among the used ones.', async () => {
    const { track } = trackOf(3_000, (frame) => (frame % 700 === 699 ? closed : undefined));
    expect(await selectReferenceFrames(track, 3_000)).toEqual([699]);
    expect(await selectReferenceFrames(track, 600)).toEqual([]);
  });
});
