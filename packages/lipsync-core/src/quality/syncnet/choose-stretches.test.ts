import { describe, expect, it } from 'vitest';
import { allStretches, chooseStretches } from './choose-stretches.ts';
import { BoxSeries, cutTracks, type BoxTrack } from './face-boxes.ts';

const box = { centerX: 100, centerY: 100, halfSide: 80 };
const even = { soundFrames: 100_000, loudnessAt: () => 1 };

function trackOf(start: number, length: number): BoxTrack {
  return { start, boxes: Array.from({ length }, () => box) };
}

function lengthOf(stretches: readonly { readonly start: number; readonly end: number }[]): number {
  return stretches.reduce((sum, { start, end }) => sum + end - start, 0);
}

describe('Stretches to score', () => {
  it('A track of n frames has n − 5 windows, and fewer where the sound ends earlier.', () => {
    expect(allStretches([trackOf(10, 100)], even)).toMatchObject([{ start: 10, end: 105 }]);
    expect(allStretches([trackOf(10, 100)], { ...even, soundFrames: 60 })).toMatchObject([{ start: 10, end: 55 }]);
    expect(allStretches([trackOf(10, 100)], { ...even, soundFrames: 12 })).toEqual([]);
  });

  it('At most ten seconds are scored, in stretches of two seconds that are spread over the video.', () => {
    expect(lengthOf(chooseStretches([trackOf(0, 255)], even))).toBe(250);
    const chosen = chooseStretches([trackOf(0, 700), trackOf(900, 1400)], even);
    expect(lengthOf(chosen)).toBe(250);
    expect(chosen).toHaveLength(5);
    const total = 695 + 1395;
    const positions = chosen.map(({ start }) => (start < 900 ? start : start - 900 + 695) / total);
    positions.forEach((position, part) => {
      expect(position).toBeGreaterThanOrEqual(part / 5 - 0.01);
      expect(position).toBeLessThan((part + 1) / 5);
    });
  });

  it('The loudest stretch of each part is chosen.', () => {
    const loud = (frame: number): number => (frame >= 300 && frame < 360 ? 10 : 0);
    const chosen = chooseStretches([trackOf(0, 1000)], { ...even, loudnessAt: loud });
    expect(chosen.some(({ start, end }) => start >= 295 && end <= 365)).toBe(true);
  });
});

describe('cutTracks', () => {
  const seriesOf = (frames: readonly (typeof box | undefined)[], rate = 25): BoxSeries => {
    const series = new BoxSeries(frames.length, rate);
    frames.forEach((value, index) => value && series.set(index, value));
    return series;
  };
  const at25 = (frameCount: number) => ({ frameCount, framesPerSecond: 25 });

  it('A gap of a second is interpolated, a longer one ends the track.', () => {
    const gap = (length: number) => [
      ...Array.from({ length: 40 }, () => box),
      ...Array.from({ length }, () => undefined),
      ...Array.from({ length: 40 }, () => ({ ...box, centerX: 110 })),
    ];
    const [bridged, ...rest] = cutTracks(seriesOf(gap(25)), at25(105));
    expect(rest).toEqual([]);
    expect(bridged?.boxes[52]?.centerX).toBeCloseTo(105, 0);
    expect(cutTracks(seriesOf(gap(26)), at25(106)).map(({ start }) => start)).toEqual([0, 66]);
  });

  it('A box that jumps starts a track, and a median of 13 frames removes outliers.', () => {
    const frames = Array.from({ length: 100 }, (_, index) => ({
      ...box,
      centerX: index < 50 ? 100 : 400,
      halfSide: index === 30 ? 95 : 80,
    }));
    const tracks = cutTracks(seriesOf(frames), at25(100));
    expect(tracks.map(({ start, boxes }) => [start, boxes.length])).toEqual([
      [0, 50],
      [50, 50],
    ]);
    expect(tracks[0]?.boxes[30]?.halfSide).toBe(80);
  });

  it('Frames of another rate are taken at their times.', () => {
    const frames = Array.from({ length: 120 }, (_, index) => ({ ...box, centerX: 100 + index }));
    const [track] = cutTracks(seriesOf(frames, 60), at25(50));
    expect(track?.boxes).toHaveLength(50);
    expect(track?.boxes[25]?.centerX).toBeCloseTo(160, 0);
  });
});
