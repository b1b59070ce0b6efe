import { maxShiftFrames, scoreCurve } from './sync-distances.ts';

/** Value and score; between two anchors the score is linear, beyond the last ones it stays. */
type Anchors = readonly (readonly [value: number, score: number])[];

/**
 * LSE-C of published clips: the authors' example (10.02) is perfect, Wav2Lip and real speech of LRS2 and LRS3 (6.8 to
 * 8.2) are very good, a real clip with its own sound (5.4) is good, speech under a louder voice (3.2) and under another
 * voice (1.6) are bad. LatentSync discards training clips below 3.
 */
const confidenceAnchors: Anchors = [
  [0, 0],
  [1.64, 0.25],
  [3.16, 0.5],
  [5.39, 0.7],
  [7.2, 0.85],
  [10.02, 1],
];

/** LSE-D of the same clips. */
const distanceAnchors: Anchors = [
  [5.353, 1],
  [7.1, 0.85],
  [8.86, 0.7],
  [10.74, 0.5],
  [12.2, 0.25],
  [15, 0],
];

/** The zero of the pipeline lies at −2 to +3 frames on published clips whose sound belongs to the picture. */
const inSyncFrames = 3;

/**
 * Maps a curve of mean distances to 0 (lips and sound have nothing in common) … 1. From 0.85 lips are as close to their
 * sound as in the best published results, from 0.70 as in ordinary real clips. The lower of the scores of LSE-C and LSE-D
 * counts, both with the smallest distance within ±3 frames: at a larger offset the sound does not belong to these lips.
 * Monotonic: rises with the confidence, falls with the distance.
 */
export function toSyncScore(curve: Float64Array): number {
  const { lseC, lseD } = scoreCurve(curve);
  const inSync = curve.subarray(maxShiftFrames - inSyncFrames, maxShiftFrames + inSyncFrames + 1);
  const distance = Math.min(...inSync);
  const confidence = lseC + lseD - distance;
  return Math.min(scoreConfidence(confidence), scoreDistance(distance));
}

/** Score of an LSE-C. */
export function scoreConfidence(lseC: number): number {
  return interpolate(confidenceAnchors, lseC);
}

/** Score of an LSE-D. */
export function scoreDistance(lseD: number): number {
  return interpolate(distanceAnchors, lseD);
}

function interpolate(anchors: Anchors, value: number): number {
  const next = anchors.findIndex(([anchor]) => anchor > value);
  const [above, scoreAbove] = anchors[next] ?? anchors.at(-1) ?? [0, 0];
  const [below, scoreBelow] = next < 0 ? [above, scoreAbove] : (anchors[next - 1] ?? [above, scoreAbove]);
  return above === below ? scoreAbove : scoreBelow + ((value - below) / (above - below)) * (scoreAbove - scoreBelow);
}
