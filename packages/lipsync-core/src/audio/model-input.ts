import type { SpeechActivity } from './speech-activity.ts';
import { bandCount, type SpeechFeatures } from './speech-features.ts';

/** Numbers per step: the bands, then the level. */
export const inputRowLength = bandCount + 1;

/** Below this distance from the speech level nothing of a band tells anything about the mouth. */
const bandRangeDb = 65;
const decibelsPerUnit = 10;

/**
 * Makes features comparable between recordings: levels relative to the speech level, and in each band the mean of
 * the spoken part taken off, which removes gain, microphone and room. One row of `inputRowLength` per step.
 */
export function normalizeFeatures(features: SpeechFeatures, activity: SpeechActivity): Float32Array {
  const { stepCount, bandsDb, levelDb } = features;
  const lowestDb = activity.speechLevelDb - bandRangeDb;
  const floors = bandMeans(features, activity.active, 0, lowestDb);
  const means = bandMeans(features, activity.active, 1, lowestDb);
  const rows = new Float32Array(stepCount * inputRowLength);
  for (let step = 0; step < stepCount; step++) {
    for (let band = 0; band < bandCount; band++) {
      const value = Math.max(bandsDb[step * bandCount + band] ?? lowestDb, floors[band] ?? lowestDb, lowestDb);
      rows[step * inputRowLength + band] = (value - (means[band] ?? 0)) / decibelsPerUnit;
    }
    const level = Math.max(levelDb[step] ?? lowestDb, activity.noiseLevelDb, lowestDb);
    rows[step * inputRowLength + bandCount] = (level - activity.speechLevelDb) / decibelsPerUnit;
  }
  return rows;
}

function bandMeans(
  { stepCount, bandsDb }: SpeechFeatures,
  active: Uint8Array,
  wanted: 0 | 1,
  lowestDb: number,
): Float64Array {
  const sums = new Float64Array(bandCount);
  let count = 0;
  for (let step = 0; step < stepCount; step++) {
    if (active[step] !== wanted) continue;
    count += 1;
    for (let band = 0; band < bandCount; band++) {
      sums[band] = (sums[band] ?? 0) + Math.max(bandsDb[step * bandCount + band] ?? lowestDb, lowestDb);
    }
  }
  return sums.map((sum) => (count === 0 ? lowestDb : sum / count));
}
