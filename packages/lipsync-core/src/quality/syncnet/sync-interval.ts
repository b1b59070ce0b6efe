import { syncFramesPerSecond } from './choose-stretches.ts';
import type { SyncDistances } from './measure-sync.ts';
import { meanCurve, scoreCurve } from './sync-distances.ts';
import { toSyncScore } from './sync-score.ts';

const resamplings = 200;
/** Central share of the resampled values. */
const tail = 0.05;

export type Interval = readonly [low: number, high: number];

export interface SyncIntervals {
  readonly offsetFrames: Interval;
  readonly lseC: Interval;
  readonly lseD: Interval;
  readonly score: Interval;
}

/** Central 90 % of the values that resampled seconds of the rows give. The sequence is the same in every run. */
export function resampleIntervals({ distances, frames }: SyncDistances): SyncIntervals {
  const seconds = secondsOf(frames);
  const random = pseudoRandom();
  const samples = Array.from({ length: resamplings }, () => {
    const rows = seconds.flatMap(() => seconds[Math.floor(random() * seconds.length)] ?? []);
    const curve = meanCurve(distances, rows);
    return { ...scoreCurve(curve), score: toSyncScore(curve) };
  });
  const intervalOf = (key: 'offsetFrames' | 'lseC' | 'lseD' | 'score'): Interval => {
    const sorted = samples.map((sample) => sample[key]).toSorted((first, second) => first - second);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
    return [at(tail), at(1 - tail)];
  };
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

function pseudoRandom(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
