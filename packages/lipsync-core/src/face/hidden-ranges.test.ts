import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { appearanceBytes } from './face-appearance.ts';
import { landmarkCount } from './face-types.ts';
import { HiddenMouths, findRanges } from './hidden-ranges.ts';
import { faceSides, mouthCorners, noseTip } from './landmarks.ts';
import { ObservationStore } from './observation-store.ts';

const limits = { shortest: 4, longestBreak: 10 };

/** A series that is 0 except in the given frames. */
function seriesOf(frameCount: number, values: Readonly<Record<number, number>>): Float32Array {
  return Float32Array.from({ length: frameCount }, (_, frame) => values[frame] ?? 0);
}

function steady(start: number, end: number, value: number): Record<number, number> {
  return Object.fromEntries(Array.from({ length: end - start }, (_, index) => [start + index, value]));
}

describe('findRanges', () => {
  it('A range begins and ends where the value is near the limit, so that values around it do not flicker.', () => {
    const series = seriesOf(60, { ...steady(20, 24, 0.9), ...steady(24, 30, 1.2), ...steady(30, 33, 0.85) });
    expect(findRanges(series, limits)).toEqual([{ start: 20, end: 33 }]);
    expect(findRanges(seriesOf(60, steady(20, 40, 0.95)), limits)).toEqual([]);
  });

  it('A moment and single outliers are ignored.', () => {
    expect(findRanges(seriesOf(60, { ...steady(20, 23, 2), 40: 5, 44: 5 }), limits)).toEqual([]);
  });

  it('With a limit for edges, a slow change is no range, and a quick one on either side is.', () => {
    const slow = Float32Array.from({ length: 100 }, (_, frame) => Math.min(1.3, frame / 40));
    expect(findRanges(slow, { ...limits, edgeFrames: 10 })).toEqual([]);
    expect(findRanges(slow, limits)).toEqual([{ start: 32, end: 100 }]);
    slow.fill(0.2, 70);
    expect(findRanges(slow.subarray(32), { ...limits, edgeFrames: 10 })).toEqual([]);
    expect(findRanges(slow, { ...limits, edgeFrames: 10 })).toEqual([{ start: 32, end: 70 }]);
  });

  it('Ranges with a short break are joined, and frames without a value take the one before.', () => {
    const joined = seriesOf(80, { ...steady(10, 20, 2), ...steady(28, 40, 2), ...steady(60, 70, 2) });
    expect(findRanges(joined, limits)).toEqual([
      { start: 10, end: 40 },
      { start: 60, end: 70 },
    ]);
    expect(findRanges(seriesOf(40, { ...steady(10, 15, 2), ...steady(15, 25, NaN) }), limits)).toEqual([
      { start: 10, end: 25 },
    ]);
  });
});

/** Landmarks of a face of 140 pixels between its sides, with the tip of its nose 90 pixels in front of them. */
function faceOf({ turnDegrees, mouthWidthPx }: { turnDegrees: number; mouthWidthPx: number }): Float32Array {
  const points = new Float32Array(landmarkCount * 3).map((_, index) => index % 89);
  const turn = (turnDegrees * Math.PI) / 180;
  const [left, right] = faceSides;
  points.set([-70 * Math.cos(turn), 50, 0], left * 3);
  points.set([70 * Math.cos(turn), 50, 0], right * 3);
  points.set([-90 * Math.sin(turn), 60, 0], noseTip * 3);
  points.set([40, 90, 0], mouthCorners.outer[0] * 3);
  points.set([40 + mouthWidthPx * 0.6, 90 + mouthWidthPx * 0.8, 5], mouthCorners.outer[1] * 3);
  return points;
}

describe('HiddenMouths', () => {
  it('Turned and small faces are rated without a second read of their landmarks.', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-hidden-'));
    const store = new ObservationStore(join(folder, 'observations'));
    onTestFinished(async () => {
      store.dispose();
      await rm(folder, { recursive: true });
    });
    for (let frame = 0; frame < 100; frame += 1)
      store.add({
        frame: 200 + frame,
        identity: 0,
        points: faceOf({
          turnDegrees: frame >= 20 && frame < 40 ? -60 : 35,
          mouthWidthPx: frame >= 60 && frame < 90 ? 6.5 : 40,
        }),
        appearance: new Uint8Array(appearanceBytes).fill(90),
        prominence: 1,
      });
    const readPoints = vi.spyOn(store, 'readPoints');
    const hidden = new HiddenMouths({ store, framesPerSecond: 25, shotStart: 200 });
    const observations = store.select({ from: 200, shotLength: 100, shown: undefined });
    hidden.decide({ from: 200, until: 300, window: { start: 200, end: 300 }, observations });
    expect(hidden.ranges).toEqual([
      { start: 220, end: 240, reason: 'turned_away' },
      { start: 260, end: 290, reason: 'too_small' },
    ]);
    expect(readPoints).not.toHaveBeenCalled();
  });
});
