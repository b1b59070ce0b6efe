import { centralInterval, resample } from '../statistics.ts';
import { syncFramesPerSecond } from './choose-stretches.ts';
import type { SyncDistances } from './measure-sync.ts';
import { meanCurve, scoreCurve } from './sync-distances.ts';
import { toSyncScore } from './sync-score.ts';

export type Interval = readonly [low: number, high: number];

export interface SyncIntervals {
  readonly offsetFrames: Interval;
  readonly lseC: Interval;
  readonly lseD: Interval;
  readonly score: Interval;
}

/** Central 90 % of the values that resampled seconds of the rows give. */
export function resampleIntervals({ distances, frames }: SyncDistances): SyncIntervals {
  const samples = resample(secondsOf(frames), (seconds) => {
    const curve = meanCurve(distances, seconds.flat());
    return { ...scoreCurve(curve), score: toSyncScore(curve) };
  });
  const intervalOf = (key: 'offsetFrames' | 'lseC' | 'lseD' | 'score'): Interval =>
    centralInterval(samples.map((sample) => sample[key]));
  return {
    offsetFrames: intervalOf('offsetFrames'),
    lseC: intervalOf('lseC'),
    lseD: intervalOf('lseD'),
    score: intervalOf('score'),
  };
}

/** Indexes of rows by second of consecutive frames. */
function secondsOf(frames: Int32Array): number[][] {
  const seconds: number[][] = [];
  frames.forEach((frame, row) => {
    const current = seconds.at(-1);
    const isNext = row > 0 && frame === (frames[row - 1] ?? 0) + 1;
    if (current && isNext && current.length < syncFramesPerSecond) current.push(row);
    else seconds.push([row]);
  });
  return seconds;
}
