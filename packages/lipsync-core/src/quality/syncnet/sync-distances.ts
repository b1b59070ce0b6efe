import { medianOf } from '../statistics.ts';

/** LSE-D, LSE-C and offset as the evaluation protocol of SyncNet defines them (SyncNetInstance.py of the authors). */

/** Largest shift of the sound against the picture, in frames at 25 fps. */
export const maxShiftFrames = 15;
export const shiftCount = 2 * maxShiftFrames + 1;
/** Added to every difference of a pair of embeddings, as PyTorch's pairwise distance does. */
const differenceOffset = 1e-6;
const confidenceTaps = 9;

export interface SyncScores {
  /** Mean distance by shift: index 0 compares a picture with sound that is 15 frames earlier. */
  readonly curve: Float64Array;
  /** LSE-D: the smallest mean distance. */
  readonly lseD: number;
  /** LSE-C: the median of the curve minus its minimum. */
  readonly lseC: number;
  /** Positive when the sound is ahead of the picture. */
  readonly offsetFrames: number;
}

/** Euclidean distance of two embeddings; undefined stands for the zero vector that pads both ends of the sound. */
export function embeddingDistance(lip: Float32Array, audio: Float32Array | undefined): number {
  let sum = 0;
  for (let index = 0; index < lip.length; index += 1) {
    const difference = (lip[index] ?? 0) - (audio?.[index] ?? 0) + differenceOffset;
    sum += difference * difference;
  }
  return Math.sqrt(sum);
}

/** The curve of a set of rows, each with `shiftCount` distances. `rows` lists them; all by default. NaN for no rows. */
export function meanCurve(distances: Float32Array, rows: Iterable<number> = allRows(distances)): Float64Array {
  const sums = new Float64Array(shiftCount);
  let count = 0;
  for (const row of rows) {
    for (let shift = 0; shift < shiftCount; shift += 1)
      sums[shift] = (sums[shift] ?? 0) + (distances[row * shiftCount + shift] ?? Number.NaN);
    count += 1;
  }
  return sums.map((sum) => sum / count);
}

function* allRows(distances: Float32Array): Generator<number> {
  for (let row = 0; row < distances.length / shiftCount; row += 1) yield row;
}

/** Scores of a curve. Of equal minima the first counts. */
export function scoreCurve(curve: Float64Array): SyncScores {
  const lseD = Math.min(...curve);
  const best = curve.indexOf(lseD);
  return { curve, lseD, lseC: medianOf(curve) - lseD, offsetFrames: maxShiftFrames - best };
}

/** Confidence per row: the median of the curve minus the distance at the best shift, filtered by a median of 9 rows. */
export function confidencePerRow(distances: Float32Array, { curve, offsetFrames }: SyncScores): Float64Array {
  const shift = maxShiftFrames - offsetFrames;
  const median = medianOf(curve);
  const rows = Float64Array.from(
    { length: distances.length / shiftCount },
    (_, row) => median - (distances[row * shiftCount + shift] ?? Number.NaN),
  );
  return medianFilter(rows, confidenceTaps);
}

/** Running median over an odd number of values, with zeros outside of the series, as `scipy.signal.medfilt`. */
export function medianFilter(values: Float64Array, taps: number): Float64Array {
  const radius = (taps - 1) / 2;
  const window = new Float64Array(taps);
  return values.map((_, index) => {
    for (let tap = 0; tap < taps; tap += 1) window[tap] = values[index + tap - radius] ?? 0;
    return window.toSorted()[radius] ?? 0;
  });
}
